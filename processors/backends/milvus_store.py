"""Two collections in Milvus, created on the first write, loaded when needed, of one embedding model."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from processors.backends.milvus_client import MAX_ROWS, CollectionMissing, MilvusClient, NotLoaded, Row
from processors.errors import Poison
from processors.ports import Vectors

FLUSH_ROWS = 1_024
"""Milvus Lite scans unflushed rows in Python: 1,000 of them cost a search 190 ms. A flush takes 60 ms and holds up
reads, so a write only flushes when very many have gathered."""
SETTLE_ROWS = 64
"""And between writes when these have."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Model:
    fingerprint: str
    dimensions: int

    def __str__(self) -> str:
        return f"{self.fingerprint!r} ({self.dimensions} dimensions)"


class MilvusStore:
    """Rows in and out of `chunks` and `heads`; reads of what was never written give nothing."""

    def __init__(self, uri: str, collection: str, *, token: str) -> None:
        self.chunks = collection
        self.heads = f"{collection}_heads"
        self._client = MilvusClient(uri, token=token)
        self._loaded: set[str] = set()
        self._model = Model("", 0)
        self._creating = asyncio.Lock()
        self._writing = asyncio.Lock()
        self._unflushed = 0
        self._wrote = False
        """Since `settle` last looked."""
        self._cold = True
        """Whether a search would have to build what the last flush or start left to build."""

    async def open(self) -> None:
        await self._client.open()

    async def close(self) -> None:
        await self._client.close()

    async def check(self) -> str:
        about = f"{await self._client.call('get_server_version')}, collection {self.chunks!r}"
        if not await self.exists(self.chunks):
            return f"{about}: nothing written yet"
        statistics = await self._call("get_collection_stats", self.chunks)
        return f"{about}: {statistics['row_count']} rows by {self._model}"

    async def exists(self, collection: str) -> bool:
        """Whether anything was written to the collection yet; if so, it is loaded now."""
        if collection in self._loaded:
            return True
        if not await self._client.exists(collection):
            return False
        await self._client.load(collection)
        if collection == self.chunks:
            self._model = Model(*await self._client.model(collection))
        self._loaded.add(collection)
        return True

    async def fingerprint(self) -> str | None:
        """Of the model that the collection was created for; none where there is no collection yet."""
        return self._model.fingerprint or None if await self.exists(self.chunks) else None

    async def drop(self) -> None:
        """Harmless where there is nothing."""
        for collection in (self.chunks, self.heads):
            if await self._client.exists(collection):
                await self._client.call("drop_collection", collection)
            self._loaded.discard(collection)

    def match(self, given: Model) -> None:
        """Refuse vectors that cannot be compared with those in the collection."""
        if given != self._model:
            raise Poison(
                "model-mismatch",
                f"{given} cannot share collection {self.chunks!r} with vectors of {self._model}: "
                "set the embedder back, or name a new collection in the index URL and ingest again",
            )

    async def query(self, collection: str, expression: str, fields: Sequence[str]) -> list[Row]:
        if not await self.exists(collection):
            return []
        return list(
            await self._call("query", collection, filter=expression, output_fields=list(fields), limit=MAX_ROWS)
        )

    async def hybrid_search(
        self, *, vector: Vectors, text: str, expression: str, limit: int, fields: Sequence[str]
    ) -> Sequence[Row]:
        """See MilvusClient.hybrid_search; the collection must exist."""
        return await self._guarded(
            lambda: self._client.hybrid_search(
                self.chunks, vector=vector, text=text, expression=expression, limit=limit, fields=fields
            )
        )

    async def write_chunks(self, rows: Sequence[Row], model: Model) -> None:
        async with self._creating:
            if not await self.exists(self.chunks):
                await self._client.create_chunks(self.chunks, model=model.fingerprint, dimensions=model.dimensions)
                await self.exists(self.chunks)
        self.match(model)
        await self._write(self.chunks, rows)

    async def write_heads(self, rows: Sequence[Row]) -> None:
        async with self._creating:
            if not await self.exists(self.heads):
                await self._client.create_heads(self.heads)
                await self.exists(self.heads)
        await self._write(self.heads, rows)

    async def delete(self, collection: str, expression: str) -> int:
        """How many rows went."""
        if not await self.exists(collection):
            return 0
        deleted = await self._call("delete", collection, filter=expression)
        # pymilvus returns the keys where the server names them, and a count where it does not.
        return len(deleted) if isinstance(deleted, list) else int(deleted["delete_count"])

    async def settle(self) -> None:
        """Do now what Milvus Lite would do during the next search: index what was written."""
        idle, self._wrote = not self._wrote, False
        if not self._client.is_lite:
            return
        if self._cold and await self.exists(self.chunks):
            self._cold = False
            # It counts a segment's words in the first search after a flush: a second for 5,000 rows. By now it has also
            # merged the segments of the last flush.
            search = {"anns_field": "sparse", "limit": 1, "output_fields": ["id"]}
            await self._call("search", self.chunks, ["settle"], search_params={"metric_type": "BM25"}, **search)
        async with self._writing:
            if self._unflushed >= (1 if idle else SETTLE_ROWS):
                await self._flush()

    async def _write(self, collection: str, rows: Sequence[Row]) -> None:
        async with self._writing:  # Milvus Lite does not promise more than one writer
            await self._call("upsert", collection, list(rows))
            self._unflushed += len(rows)
            self._wrote = True
            if self._unflushed >= FLUSH_ROWS:
                await self._flush()

    async def _flush(self) -> None:
        """Only for Milvus Lite: a cluster seals its segments by itself and limits how often one may ask."""
        self._unflushed = 0
        self._cold = True
        if self._client.is_lite:
            for collection in tuple(self._loaded):  # others may come meanwhile
                await self._call("flush", collection)

    async def _call(self, method: str, *arguments: Any, **options: Any) -> Any:
        return await self._guarded(lambda: self._client.call(method, *arguments, **options))

    async def _guarded(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """The result of `attempt`, also across a restart of the server."""
        try:
            return await attempt()
        except NotLoaded:
            for collection in tuple(self._loaded):
                await self._client.load(collection)
            return await attempt()
        except CollectionMissing:
            self._loaded.clear()
            raise
