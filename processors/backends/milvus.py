"""Milvus: chunks and heads in two collections, searched by meaning and by words at once."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from processors.backends.milvus_client import MAX_ROWS, CollectionMissing, MilvusClient, NotLoaded, Row
from processors.backends.milvus_rows import (
    CHUNK_FIELDS,
    DELETED,
    HEAD_FIELDS,
    NEWEST,
    PASSAGE_FIELDS,
    all_rows_of,
    among,
    chunk_of,
    chunk_rows,
    document_key,
    head_of,
    head_row,
    newest_row,
    quoted,
    rows_of,
    visible,
)
from processors.backends.milvus_search import Live, by_document, dead_rows, is_live, live_rows, ranked
from processors.errors import Poison, Transient
from processors.ports import Head, Search, Stored, Vectors
from schemas import Chunk, ChunksEmbedded, Document, DocumentId, Passage, Tenant

SWEEP_AFTER_S = 10.0
"""Beyond the staleness bound: longer than any search runs."""
DOCUMENTS_PER_DELETE = 64
"""Named in one expression: one pass over the rows for all of them."""
DOCUMENTS_PER_SWEEP = 512
"""So that a sweep after a large ingest stays short; the next one goes on."""
FLUSH_ROWS = 256
"""Milvus Lite scans unflushed rows in Python: 1,000 of them cost a search 190 ms, a flush of 256 takes 60 ms."""


@dataclass(frozen=True, slots=True)
class _Model:
    fingerprint: str
    dimensions: int

    def __str__(self) -> str:
        return f"{self.fingerprint!r} ({self.dimensions} dimensions)"


class MilvusIndex:
    """An Index in a Milvus cluster or in Milvus Lite, at `milvus+http(s)://host:port/collection`."""

    def __init__(self, url: str, token: str = "", *, staleness_s: float = 0.0) -> None:
        parts = urlsplit(url.removeprefix("milvus+"))
        self.name = parts.path.strip("/") or "headwater"
        self.staleness_s = staleness_s
        """How much older than its start a search's snapshot may be: 0 reads what is written."""
        self._heads = f"{self.name}_heads"
        self._client = MilvusClient(f"{parts.scheme}://{parts.netloc}", token=token)
        self._loaded: set[str] = set()
        self._model = _Model("", 0)
        self._creating = asyncio.Lock()
        self._writing = asyncio.Lock()
        self._unflushed = 0
        self._wrote = False
        """Since the last sweep."""
        self._flipped: dict[str, float] = {}
        """Documents to sweep, by the time of their last flip."""
        self._looked = False
        """For what workers before this one left to sweep."""

    async def open(self) -> None:
        await self._client.open()

    async def close(self) -> None:
        await self._client.close()

    async def check(self) -> str:
        about = f"{await self._client.call('get_server_version')}, collection {self.name!r}"
        if not await self._exists(self.name):
            return f"{about}: nothing written yet"
        statistics = await self._call("get_collection_stats", self.name)
        return f"{about}: {statistics['row_count']} rows by {self._model}"

    async def head(self, tenant: Tenant, document_id: DocumentId) -> Head | None:
        rows = await self._query(self._heads, among("id", [document_key(tenant, document_id)]), HEAD_FIELDS)
        return head_of(rows[0]) if rows else None

    async def vectors(
        self, tenant: Tenant, document_id: DocumentId, text_hashes: Sequence[str], *, model: str
    ) -> Mapping[str, Vectors]:
        head = await self.head(tenant, document_id)
        if head is None or head.rows_version is None or head.model != model or not text_hashes:
            return {}
        live = rows_of(tenant, document_id, version=head.rows_version, content=head.digest)
        rows = await self._query(self.name, f"{live} and {among('text_hash', text_hashes)}", ("text_hash", "dense"))
        return {row["text_hash"]: np.asarray(row["dense"], dtype=np.float32) for row in rows}

    async def write(self, event: ChunksEmbedded) -> None:
        rows = chunk_rows(event)
        await self._prepare_chunks(_Model(event.model, event.dimensions))
        async with self._writing:  # Milvus Lite does not promise more than one writer
            await self._call("upsert", self.name, rows)
            self._unflushed += len(rows)
            self._wrote = True
            if self._unflushed >= FLUSH_ROWS:
                await self._flush()

    async def count(self, document: Document) -> Stored:
        version = rows_of(document.tenant, document.document_id, version=document.version, content=document.digest)
        rows = await self._query(self.name, version, ("embedded",))
        return Stored(len(rows), sum(row["embedded"] for row in rows))

    async def flip(self, head: Head) -> None:
        await self._prepare_heads()
        document = document_key(head.tenant, head.document_id)
        newest = await self.head(head.tenant, head.document_id)
        if newest is not None and head.rows_version not in (None, head.version):
            newest = await self._decided(document)  # rows of an older version go on: are they still there?
            if newest.version > head.version or newest.rows_version != head.rows_version:
                await self._call("upsert", self._heads, [newest_row(newest)])
                raise Transient(f"another writer moved the head of {head.document_id!r} to version {newest.version}")
        late = newest is not None and newest.version > head.version
        await self._call("upsert", self._heads, [head_row(head)] if late else [head_row(head), newest_row(head)])
        self._flipped[document] = head.flipped_at.timestamp()
        self._unflushed += 1
        self._wrote = True

    async def _decided(self, document: str) -> Head:
        """The newest of a document's heads, whatever a late writer made of the row that repeats it."""
        [rows] = by_document(await self._query(self._heads, among("document", [document]), HEAD_FIELDS)).values()
        return head_of(rows[0])

    async def erase(self, tenant: Tenant, document_id: DocumentId, *, up_to_version: int) -> Mapping[str, int]:
        if not await self._exists(self.name):
            return {self.name: 0}
        expression = f"{all_rows_of(tenant, document_id)} and version <= {up_to_version}"
        return {self.name: await self._delete(self.name, expression)}

    async def search(self, search: Search) -> Sequence[Passage]:
        if not await self._exists(self.name):
            return []
        self._match(_Model(search.model, search.vector.shape[0]))
        snapshot_us = (time.time() - self.staleness_s) * 1e6
        fetch = search.limit + max(10, search.limit // 5)
        hits, live = await self._found(search, visible(search), fetch, snapshot_us)
        kept = [hit for hit in hits if is_live(hit, live)]
        if len(kept) < min(search.limit, len(hits)) and len(hits) >= fetch:
            # Superseded rows took the room of others: search once more, without those documents' dead rows.
            hits, live = await self._found(search, f"{visible(search)} and not {dead_rows(live)}", fetch, snapshot_us)
            kept = [hit for hit in hits if is_live(hit, live)]
        return ranked(kept, search.vector)[: search.limit]

    async def heads(self, tenant: Tenant, *, limit: int = 1000) -> Sequence[Head]:
        rows = await self._query(
            self._heads, f"{among('tenant', [tenant])} and document != {quoted(NEWEST)}", HEAD_FIELDS
        )
        newest: dict[str, Head] = {}
        for head in sorted(map(head_of, rows), key=lambda head: head.version):
            newest[head.document_id] = head
        live = (head for head in newest.values() if head.rows_version is not None)
        return sorted(live, key=lambda head: head.document_id)[:limit]

    async def chunks(self, tenant: Tenant, document_id: DocumentId) -> Sequence[Chunk]:
        head = await self.head(tenant, document_id)
        if head is None or head.rows_version is None:
            return []
        live = rows_of(tenant, document_id, version=head.rows_version, content=head.digest)
        rows = await self._query(self.name, live, CHUNK_FIELDS)
        return sorted(map(chunk_of, rows), key=lambda chunk: chunk.ordinal)

    async def sweep(self) -> int:
        if not self._looked:
            self._flipped = await self._left_behind() | self._flipped
            self._looked = True
        due = time.time() - self.staleness_s - SWEEP_AFTER_S
        documents = [document for document, flipped_at in self._flipped.items() if flipped_at <= due]
        swept = 0
        for start in range(0, min(len(documents), DOCUMENTS_PER_SWEEP), DOCUMENTS_PER_DELETE):
            some = documents[start : start + DOCUMENTS_PER_DELETE]
            swept += await self._sweep(some, due)
            for document in some:
                if self._flipped.get(document, due) <= due:  # else it was flipped again meanwhile
                    self._flipped.pop(document, None)
        idle, self._wrote = not self._wrote, False
        async with self._writing:
            if self._unflushed >= (1 if idle else FLUSH_ROWS // 4):
                await self._flush()
        return swept

    async def _left_behind(self) -> dict[str, float]:
        """Documents with more than one head, or a deleted one: a worker may have died before it swept them."""
        rows = await self._query(
            self._heads, f"document != {quoted(NEWEST)}", ("document", "version", "rows_version", "flipped_at_us")
        )
        return {
            document: heads[0]["flipped_at_us"] / 1e6
            for document, heads in by_document(rows).items()
            if len(heads) > 1 or heads[0]["rows_version"] == DELETED
        }

    async def _sweep(self, documents: Sequence[str], due: float) -> int:
        rows = await self._query(self._heads, among("document", documents), HEAD_FIELDS)
        garbage, heads, repaired = [], [], []
        for document, versions in by_document(rows).items():
            newest, *older = versions
            if newest["flipped_at_us"] / 1e6 > due:
                continue
            live = {document: Live(newest["rows_version"], newest["digest"])}
            garbage.append(f"(version <= {newest['version']} and {dead_rows(live)})")
            heads += [row["id"] for row in older]
            if older:  # a late writer may have made one of them the one that is found by key
                repaired.append(newest_row(head_of(newest)))
        deleted = 0
        if garbage and await self._exists(self.name):
            deleted = await self._delete(self.name, " or ".join(garbage))
        if heads:
            await self._call("upsert", self._heads, repaired)
            await self._delete(self._heads, among("id", heads))
        return deleted

    async def _found(
        self, search: Search, expression: str, fetch: int, snapshot_us: float
    ) -> tuple[Sequence[Row], Mapping[str, Live]]:
        """Rows that match, and which rows of each of their documents the search may show."""
        hits = await self._guarded(
            lambda: self._client.hybrid_search(
                self.name,
                vector=search.vector,
                text=search.text,
                expression=expression,
                limit=fetch,
                fields=PASSAGE_FIELDS,
            )
        )
        documents = sorted({hit["document"] for hit in hits})
        heads = await self._query(self._heads, among("document", documents), HEAD_FIELDS) if documents else []
        return hits, {document: live_rows(rows, snapshot_us) for document, rows in by_document(heads).items()}

    async def _exists(self, collection: str) -> bool:
        """Whether anything was written to the collection yet; if so, it is loaded now."""
        if collection in self._loaded:
            return True
        if not await self._client.exists(collection):
            return False
        await self._client.load(collection)
        if collection == self.name:
            self._model = _Model(*await self._client.model(collection))
        self._loaded.add(collection)
        return True

    async def _prepare_chunks(self, given: _Model) -> None:
        async with self._creating:
            if not await self._exists(self.name):
                await self._client.create_chunks(self.name, model=given.fingerprint, dimensions=given.dimensions)
                await self._exists(self.name)
        self._match(given)

    async def _prepare_heads(self) -> None:
        async with self._creating:
            if not await self._exists(self._heads):
                await self._client.create_heads(self._heads)
                await self._exists(self._heads)

    def _match(self, given: _Model) -> None:
        if given != self._model:
            raise Poison(
                "model-mismatch",
                f"{given} cannot share collection {self.name!r} with vectors of {self._model}: "
                "set the embedder back, or name a new collection in the index URL and ingest again",
            )

    async def _query(self, collection: str, expression: str, fields: Sequence[str]) -> list[Row]:
        if not await self._exists(collection):
            return []
        return list(
            await self._call("query", collection, filter=expression, output_fields=list(fields), limit=MAX_ROWS)
        )

    async def _delete(self, collection: str, expression: str) -> int:
        deleted = await self._call("delete", collection, filter=expression)
        # pymilvus returns the keys where the server names them, and a count where it does not.
        return len(deleted) if isinstance(deleted, list) else int(deleted["delete_count"])

    async def _flush(self) -> None:
        """Only for Milvus Lite: a cluster seals its segments by itself and limits how often one may ask."""
        self._unflushed = 0
        if self._client.is_lite:
            for collection in self._loaded:
                await self._call("flush", collection)

    async def _call(self, method: str, *arguments: Any, **options: Any) -> Any:
        return await self._guarded(lambda: self._client.call(method, *arguments, **options))

    async def _guarded(self, attempt: Any) -> Any:
        """The result of `attempt`, also across a restart of the server."""
        try:
            return await attempt()
        except NotLoaded:
            for collection in self._loaded:
                await self._client.load(collection)
            return await attempt()
        except CollectionMissing:
            self._loaded.clear()
            raise
