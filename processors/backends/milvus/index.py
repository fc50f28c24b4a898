"""Milvus: chunks and heads in two collections, searched by meaning and by words at once."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from processors.backends.http import at_start
from processors.backends.milvus.address import MilvusAddress
from processors.backends.milvus.client import MilvusClient, Row
from processors.backends.milvus.expressions import (
    all_rows_of,
    among,
    document_key,
    of_tenant,
    quoted,
    rows_of,
    visible,
)
from processors.backends.milvus.rows import (
    CHUNK_FIELDS,
    DELETED,
    HEAD_FIELDS,
    NEWEST,
    PASSAGE_FIELDS,
    chunk_of,
    chunk_rows,
    head_key,
    head_of,
    head_row,
    newest_row,
    vectors_of,
)
from processors.backends.milvus.schema import Form
from processors.backends.milvus.search import Live, by_document, dead_rows, is_live, just_moved, live_rows, ranked
from processors.backends.milvus.store import MilvusStore, Model
from processors.backends.milvus.sweep import Unswept
from processors.errors import Transient
from processors.index_plan import Expected, layout
from processors.ports import Head, Search, SparseEncoder, Stored, Vectors
from schemas import Chunk, ChunksEmbedded, Document, DocumentId, Passage, Tenant

STALENESS_S = 1.0
"""Of a search on a cluster by default: five of its time ticks, so that none waits for one."""
CHUNKS_PER_LOOK_UP = 128
"""A larger document's vectors are read once for all its slices: 16 queries for 1,000 chunks cost 0.5 s of CPU."""
CHUNKS_REMEMBERED, DOCUMENTS_REMEMBERED = 4_096, 2
"""With 384 dimensions at most 6 MB each."""


class MilvusIndex:
    """An Index in a Milvus cluster or in Milvus Lite, at `milvus+http(s)://host:port/[database/]collection`.

    `?staleness_s=SECONDS` bounds how far searches may lag behind writes: 0 makes each wait for everything that is
    written, 200 to 400 ms on a cluster; the default is 1, and 0 for Milvus Lite, where it costs nothing.
    """

    def __init__(
        self,
        url: str,
        token: str = "",
        *,
        ca_file: Path | None = None,
        staleness_s: float | None = None,
        encoder: SparseEncoder | None = None,
        expected: Expected | None = None,
    ) -> None:
        address = MilvusAddress.parse(url)
        self.name = address.collection
        self.staleness_s = 0.0
        """How much older than its start a search's snapshot may be: 0 reads what is written. Known after `open`."""
        self._staleness_s = staleness_s if staleness_s is not None else address.staleness_s
        self._encoder = encoder
        self._client = MilvusClient(address.uri, token=token, database=address.database, ca_file=ca_file)
        sized = expected or Expected()
        self._store = MilvusStore(
            self._client, self.name, layout=lambda dimensions: layout(sized, dimensions), encoder=encoder
        )
        self._unswept = Unswept(self._store)
        self._vectors: dict[tuple[str, int, str], Mapping[str, Vectors]] = {}
        """Of large documents: their slices come one after another. Rows of a version never change."""

    async def open(self) -> None:
        with at_start():
            if self._encoder is not None:
                await self._encoder.open()
            await self._client.open()
        default = 0.0 if self._client.server.is_lite else STALENESS_S
        self.staleness_s = default if self._staleness_s is None else self._staleness_s

    async def close(self) -> None:
        await self._store.close()
        if self._encoder is not None:
            await self._encoder.close()

    async def check(self) -> str:
        with at_start():
            return await self._store.check()

    @property
    def truncated(self) -> int:
        """By the encoder: the embedder counts what it cuts itself."""
        return int(getattr(self._encoder, "truncated", 0))

    async def model(self) -> str | None:
        return await self._store.fingerprint()

    async def drop(self) -> None:
        """Delete the collections with everything in them; for collections that were made to try a server."""
        await self._store.collections.drop()

    async def head(self, tenant: Tenant, document_id: DocumentId) -> Head | None:
        document = document_key(tenant, document_id)
        rows = await self._heads(among("id", [document]), self._snapshot_s())
        found = [head_of(row) for row in rows]
        if self.staleness_s and (own := self._unswept.head(document)):
            found.append(own)  # what this process wrote is newer than the bound
        return max(found, key=lambda head: (head.version, head.flipped_at), default=None)

    async def newest(self, tenant: Tenant, versions: Mapping[DocumentId, int]) -> Mapping[DocumentId, Head]:
        keys = [
            key
            for document_id, version in versions.items()
            for document in [document_key(tenant, document_id)]
            for key in (document, head_key(document, version))  # a late writer may have made the first one stale
        ]
        rows = await self._heads(among("id", keys), None)
        return {row["document_id"]: head_of(row) for row in sorted(rows, key=lambda row: int(row["version"]))}

    async def vectors(
        self, tenant: Tenant, document_id: DocumentId, text_hashes: Sequence[str], *, model: str
    ) -> Mapping[str, Vectors]:
        head = await self.head(tenant, document_id)
        if head is None or head.rows_version is None or head.model != model or not text_hashes:
            return {}
        key = document_key(tenant, document_id), head.rows_version, head.digest
        found = self._vectors.get(key)
        if found is None:
            large = CHUNKS_PER_LOOK_UP < head.chunk_count <= CHUNKS_REMEMBERED
            live = rows_of(tenant, document_id, self._form, version=head.rows_version, content=head.digest)
            wanted = live if large else f"{live} and {among('text_hash', text_hashes)}"
            fields = ("text_hash", "dense")
            rows = await self._store.query(self._store.chunks, wanted, fields, snapshot_s=self._since(head))
            found = vectors_of(rows, self._store.collections.model.dimensions) if rows else {}
            if large:
                self._vectors[key] = found
                while len(self._vectors) > DOCUMENTS_REMEMBERED:
                    self._vectors.pop(next(iter(self._vectors)))
        return {text_hash: found[text_hash] for text_hash in text_hashes if text_hash in found}

    async def write(self, event: ChunksEmbedded) -> None:
        model = Model(event.model, event.dimensions)
        await self._store.collections.prepare_chunks(model)
        await self._store.write_chunks(chunk_rows(event, self._form.sets))

    async def count(self, document: Document) -> Stored:
        version = rows_of(
            document.tenant, document.document_id, self._form, version=document.version, content=document.digest
        )
        rows = await self._store.query(self._store.chunks, version, ("embedded",), snapshot_s=None)
        return Stored(len(rows), sum(row["embedded"] for row in rows))

    async def flip(self, head: Head) -> None:
        document = document_key(head.tenant, head.document_id)
        newest = await self.head(head.tenant, head.document_id)
        if newest is not None and head.rows_version not in (None, head.version):
            newest = await self._go_on(document, head)
        late = newest is not None and newest.version > head.version
        await self._store.write_heads([head_row(head)] if late else [head_row(head), newest_row(head)])
        moved = newest if late and newest is not None else head
        self._unswept.add(document, moved, staleness_s=self.staleness_s)

    async def erase(self, tenant: Tenant, document_id: DocumentId, *, up_to_version: int) -> Mapping[str, int]:
        document = document_key(tenant, document_id)
        heads = by_document(await self._heads(among("document", [document]), None)).get(document, [])
        if heads and DELETED < heads[0]["rows_version"] <= up_to_version < heads[0]["version"]:
            await self._store.write_heads([newest_row(head_of(heads[0]))])  # by which the next try goes
            raise _moved(head_of(heads[0]))
        chunks = f"{all_rows_of(tenant, document_id, self._form)} and version <= {up_to_version}"
        lost = [row for row in heads[1:] if row["version"] <= up_to_version]
        marks = sum(row["rows_version"] == DELETED for row in lost)
        expression = among("id", [row["id"] for row in lost])
        return {
            self._store.chunks: await self._store.delete(self._store.chunks, chunks),
            self._store.heads: await self._store.delete(self._store.heads, expression) - marks if lost else 0,
        }

    async def search(self, search: Search) -> Sequence[Passage]:
        if not await self._store.exists(self._store.chunks):
            return []
        self._store.collections.match(Model(search.model, search.vector.shape[0]))
        snapshot_us = (time.time() - self.staleness_s) * 1e6
        fetch = search.limit + max(10, search.limit // 5)
        expression = visible(search, self._form)
        hits, live, moved = await self._found(search, expression, fetch, snapshot_us)
        kept = [hit for hit in hits if is_live(hit, live)]
        crowded = len(kept) < min(search.limit, len(hits)) and len(hits) >= fetch
        vanished = moved - {hit["document"] for hit in kept}
        if crowded or vanished:
            # Superseded rows took the room of others, or a head came between the two looks by a clock that is behind:
            # search once more, without those documents' dead rows. What was decided holds, for a head may have been
            # written in between; only a deletion counts at once.
            living = f"{expression} and not {dead_rows(live)}"
            hits, later, _ = await self._found(search, living, fetch, snapshot_us, fresh=bool(vanished))
            deleted = {document: rows for document, rows in later.items() if rows.version == DELETED}
            kept = [hit for hit in hits if is_live(hit, {**later, **live, **deleted})]
        words = "bm25" if self._store.shape.words == "bm25" else "sparse"
        return ranked(kept, search.vector, words)[: search.limit]

    async def heads(self, tenant: Tenant, *, limit: int = 1000) -> Sequence[Head]:
        rows = await self._heads(f"{of_tenant(tenant, self._form)} and document != {quoted(NEWEST)}", None)
        newest = (head_of(versions[0]) for versions in by_document(rows).values())
        live = (head for head in newest if head.rows_version is not None)
        return sorted(live, key=lambda head: head.document_id)[:limit]

    async def chunks(self, tenant: Tenant, document_id: DocumentId) -> Sequence[Chunk]:
        head = await self.head(tenant, document_id)
        if head is None or head.rows_version is None:
            return []
        live = rows_of(tenant, document_id, self._form, version=head.rows_version, content=head.digest)
        rows = await self._store.query(self._store.chunks, live, CHUNK_FIELDS, snapshot_s=self._since(head))
        return sorted(map(chunk_of, rows), key=lambda chunk: chunk.ordinal)

    async def sweep(self) -> int:
        deleted = await self._unswept.sweep(staleness_s=self.staleness_s)
        await self._store.settle()
        return deleted

    async def _found(
        self, search: Search, expression: str, fetch: int, snapshot_us: float, *, fresh: bool = False
    ) -> tuple[Sequence[Row], Mapping[str, Live], set[str]]:
        """Rows that match, which rows of their documents the search may show, and documents that have just changed.

        `fresh` rows are all that are written.
        """
        hits = await self._store.search(
            vector=search.vector,
            text=search.text,
            expression=expression,
            limit=fetch,
            fields=PASSAGE_FIELDS,
            snapshot_s=None if fresh or search.heads else self._snapshot_s(),
        )
        documents = sorted({hit["document"] for hit in hits})
        if not documents:
            return hits, {}, set()
        theirs = f"{of_tenant(search.tenant, self._form)} and {among('document', documents)}"
        given = {document_key(head.tenant, head.document_id): head for head in search.heads}
        known = [head_row(given[document]) for document in documents if document in given]
        heads = by_document([*known, *await self._heads(theirs, self._snapshot_s())])
        live = dict.fromkeys(documents, Live(DELETED, ""))  # of a document that has no head yet
        for document, rows in heads.items():
            version = given[document].version if document in given else 0
            live[document] = live_rows(rows, snapshot_us, known=version)
        moved = {document for document, rows in heads.items() if just_moved(rows, snapshot_us)}
        return hits, live, {document for document in moved if live[document].version != DELETED}

    async def _go_on(self, document: str, head: Head) -> Head:
        """Name rows that an older version wrote, if nobody has removed them, nor will; the newest of the other heads.

        Whoever could remove them flips first and looks at all heads then; so one of the two sees the other. Raises
        Transient.
        """
        decided = await self._decided(document)
        if decided.version > head.version or decided.rows_version != head.rows_version:
            await self._store.write_heads([newest_row(decided)])
            raise _moved(decided)
        await self._store.write_heads([head_row(head)])
        [met] = map(head_of, await self._heads(among("id", [document]), None))
        if decided.version < met.version <= head.version and met.rows_version != head.rows_version:
            if met.version == head.version:
                await self._store.write_heads([head_row(met)])
            else:
                await self._store.delete(self._store.heads, among("id", [head_key(document, head.version)]))
            raise _moved(met)
        return max(decided, met, key=lambda each: each.version)

    async def _decided(self, document: str) -> Head:
        """The newest of a document's heads, whatever a late writer made of the row that repeats it."""
        [rows] = by_document(await self._heads(among("document", [document]), None)).values()
        return head_of(rows[0])

    async def _heads(self, expression: str, snapshot_s: float | None) -> list[Row]:
        return await self._store.query(self._store.heads, expression, HEAD_FIELDS, snapshot_s=snapshot_s)

    @property
    def _form(self) -> Form:
        return self._store.collections.form

    def _snapshot_s(self) -> float | None:
        """Reads must see what was written until then; none: everything."""
        return time.time() - self.staleness_s if self.staleness_s else None

    def _since(self, head: Head) -> float | None:
        """For reading a head's rows, which were written before it."""
        snapshot_s = self._snapshot_s()
        return None if snapshot_s is None else max(snapshot_s, head.flipped_at.timestamp())


def _moved(head: Head) -> Transient:
    return Transient(f"another writer moved the head of {head.document_id!r} to version {head.version}")
