"""Rows in and out of Milvus, at the consistency that each call needs."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from functools import cached_property, partial
from typing import Any, TypeVar

from processors.backends.milvus.aliases import MilvusCollections, Model
from processors.backends.milvus.client import MAX_ROWS, MilvusClient, Row, consistency
from processors.backends.milvus.errors import CollectionMissing, NotLoaded
from processors.backends.milvus.schema import Shape, Words
from processors.backends.milvus.writes import GatheredWrites
from processors.errors import Poison, Transient
from processors.index_plan import Layout
from processors.ports import SparseEncoder, Vectors
from processors.turns import Slots

FLUSH_ROWS = 1_024
"""Milvus Lite scans unflushed rows in Python: 1,000 of them cost a search 190 ms. A flush takes 60 ms and holds up
reads, so a write only flushes when very many have gathered."""
READS_AT_ONCE = 16
LITE_READS_AT_ONCE = 2
"""Look-ups beyond wait here, where tenants take turns, and not at the server: Lite works on one at a time."""
WRITES_AT_ONCE = 2
"""While the server works on one, the next is encoded."""
SETTLE_ROWS = 64
"""And between writes when these have."""
NO_WORDS = {0: 1e-9}
"""Milvus refuses an empty sparse vector; no encoder weighs term 0, which pads its input."""
HEX = "0123456789abcdef"
DIGITS = 32
"""Of a digest."""

T = TypeVar("T")


class MilvusStore:
    """Rows of `chunks` and `heads`; reads of what was never written give nothing."""

    def __init__(
        self, client: MilvusClient, collection: str, *, layout: Callable[[int], Layout], encoder: SparseEncoder | None
    ) -> None:
        self.client = client
        self.collections = MilvusCollections(client, collection, layout=layout, has_encoder=encoder is not None)
        self.chunks, self.heads = self.collections.chunks, self.collections.heads
        self._encoder = encoder
        self._writes: dict[str, GatheredWrites] = {}
        self._writing = asyncio.Lock()
        self._unflushed = 0
        self._wrote = False
        """Since `settle` last looked."""
        self._cold = True
        """Whether a search would have to build what the last flush or start left to build."""

    @property
    def shape(self) -> Shape:
        return self.collections.shape

    async def close(self) -> None:
        for writes in self._writes.values():
            await writes.close()
        await self.client.close()

    async def check(self) -> str:
        about = f"{self.client.server.version}, collection {self.chunks!r}"
        if not await self.exists(self.chunks):
            return f"{about}: nothing written yet"
        statistics = await self._call("get_collection_stats", self.chunks)
        return f"{about}: {statistics['row_count']} rows by {self.collections.model}{self._warning()}"

    async def exists(self, collection: str) -> bool:
        return await self.collections.exists(collection)

    async def fingerprint(self) -> str | None:
        """Of the model that the collection was created for; none where there is no collection yet."""
        return self.shape.model or None if await self.exists(self.chunks) else None

    async def query(
        self, collection: str, expression: str, fields: Sequence[str], *, snapshot_s: float | None
    ) -> list[Row]:
        """All rows that match, however many."""
        pages = self.pages(collection, expression, fields, snapshot_s=snapshot_s)
        return [row async for page in pages for row in page]

    async def pages(
        self, collection: str, expression: str, fields: Sequence[str], *, snapshot_s: float | None, by: str = "id"
    ) -> AsyncIterator[list[Row]]:
        """The same: where they exceed a query, by ranges of a field of digests, so that equal ones share a page."""
        if await self.exists(collection):
            async for page in self._pages(collection, expression, fields, consistency(snapshot_s), by=by):
                yield page

    async def search(
        self,
        *,
        vector: Vectors,
        text: str,
        expression: str,
        limit: int,
        fields: Sequence[str],
        snapshot_s: float | None,
    ) -> Sequence[Row]:
        """Candidates by vector and, where the collection can, by words; these carry a `distance`. It must exist."""
        words = await self._words_of(text)
        options: dict[str, Any] = {"vector": vector, "expression": expression, "limit": limit, "fields": fields}
        options |= {"index": self.shape.index} | consistency(snapshot_s)
        if words is None:
            return await self._guarded(lambda: self.client.dense_search(self.chunks, **options))
        return await self._guarded(lambda: self.client.hybrid_search(self.chunks, words=words, **options))

    async def write_chunks(self, rows: Sequence[Row]) -> None:
        """Into a collection that exists: see `collections.prepare_chunks`."""
        await self._write(self.chunks, await self._weighed(rows, self.shape.words))

    async def write_copies(self, collection: str, rows: Sequence[Row], words: Words) -> None:
        """Rows as they came out of another collection, into a loaded one whose words are weighed so."""
        missing = words == "encoder" and not all("sparse" in row for row in rows)
        await self._write(collection, await self._weighed(rows, words) if missing else rows)

    async def write_heads(self, rows: Sequence[Row]) -> None:
        await self.collections.prepare_heads()
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
        if not self.client.server.is_lite:
            return
        if self._cold and await self.exists(self.chunks) and self.shape.words == "bm25":
            self._cold = False
            # It counts a segment's words in the first search after a flush: a second for 5,000 rows. By now it has also
            # merged the segments of the last flush.
            search = {"anns_field": "sparse", "limit": 1, "output_fields": ["id"]}
            await self._call("search", self.chunks, ["settle"], search_params={"metric_type": "BM25"}, **search)
        async with self._writing:
            if self._unflushed >= (1 if idle else SETTLE_ROWS):
                await self._flush()

    def _warning(self) -> str:
        if self.shape.words == "none":
            return "; WARNING: dense only, words are not matched: set `sparse` (Milvus 2.4), or use Milvus 2.5 or later"
        if self.shape.words == "encoder" and self._encoder is None:
            return "; WARNING: dense only, because the setting `sparse` that filled the collection is missing"
        if self.shape.words == "bm25" and self._encoder is not None:
            return "; the setting `sparse` is not needed, because the server weighs words itself"
        return ""

    async def _weighed(self, rows: Sequence[Row], words: Words) -> Sequence[Row]:
        if words != "encoder":
            return rows
        if self._encoder is None:
            raise Transient(f"collection {self.chunks!r} needs the setting `sparse` that it was filled with")
        weights = await self._encoder.encode([row["text"] for row in rows], role="passage")
        return [row | {"sparse": dict(weight) or NO_WORDS} for row, weight in zip(rows, weights, strict=True)]

    async def _words_of(self, text: str) -> str | Mapping[int, float] | None:
        if self.shape.words == "bm25":
            return text
        if self.shape.words == "none" or self._encoder is None:
            return None
        [weights] = await self._encoder.encode([text], role="query")
        return dict(weights) or None

    @cached_property
    def _reads(self) -> Slots:
        return Slots(LITE_READS_AT_ONCE if self.client.server.is_lite else READS_AT_ONCE)

    async def _pages(
        self,
        collection: str,
        expression: str,
        fields: Sequence[str],
        options: Mapping[str, Any],
        *,
        by: str,
        prefix: str = "",
    ) -> AsyncIterator[list[Row]]:
        async with self._reads.held(1):
            rows = await self._guarded(
                lambda: self.client.query(collection, expression, fields, limit=MAX_ROWS, **options)
            )
        if len(rows) < MAX_ROWS or len(prefix) == DIGITS:
            yield rows
            return
        del rows  # which this frame would keep until the last page
        for digit in HEX:
            start = f"{prefix}{digit}"
            # "g" follows the digits.
            within = f'({expression}) and {by} >= "{start}" and {by} < "{start}g"'
            async for page in self._pages(collection, within, fields, options, by=by, prefix=start):
                yield page

    async def _write(self, collection: str, rows: Sequence[Row]) -> None:
        if collection not in self._writes:
            # Milvus Lite does not promise more than one writer.
            at_once = 1 if self.client.server.is_lite else WRITES_AT_ONCE
            self._writes[collection] = GatheredWrites(partial(self._upsert, collection), at_once=at_once)
        await self._writes[collection].add(rows)

    async def _upsert(self, collection: str, rows: Sequence[Row]) -> None:
        if not self.client.server.is_lite:
            await self._guarded(lambda: self.client.upsert(collection, rows))
            return
        async with self._writing:
            await self._guarded(lambda: self.client.upsert(collection, rows))
            self._unflushed += len(rows)
            self._wrote = True
            if self._unflushed >= FLUSH_ROWS:
                await self._flush()

    async def _flush(self) -> None:
        """Only for Milvus Lite: a cluster seals its segments by itself and limits how often one may ask."""
        self._unflushed = 0
        self._cold = True
        for collection in self.collections.loaded:
            await self._call("flush", collection)

    async def _call(self, method: str, *arguments: Any, **options: Any) -> Any:
        return await self._guarded(lambda: self.client.call(method, *arguments, **options))

    async def _guarded(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """The result of `attempt`, also across a restart of the server."""
        try:
            return await attempt()
        except NotLoaded:
            await self.collections.reload()
            return await attempt()
        except CollectionMissing:
            self.collections.forget()
            raise
        except Poison as error:
            if await self.collections.was_rebuilt():
                raise Transient(f"{error.detail}: the collection has been built anew meanwhile") from error
            raise


__all__ = ["MilvusStore", "Model"]
