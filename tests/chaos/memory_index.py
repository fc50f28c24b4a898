"""An index in memory that keeps the version protocol: rows first, then the head, each step repeatable."""

from collections.abc import Awaitable, Callable, Mapping, Sequence

import numpy as np

from processors import ports
from processors.ports import Head, Search, Vectors
from schemas import Chunk, ChunksEmbedded, Document, DocumentId, Passage, Tenant

Key = tuple[str, str]
Stored = tuple[Chunk, ChunksEmbedded, Vectors]
"""A row."""
Point = Callable[[str], Awaitable[None]]
"""Passed before and after each effect: where a process may die."""


class MemoryIndex:
    """An Index for deterministic runs. Its parts are small, so that a mutant can replace one guarantee."""

    def __init__(self, point: Point) -> None:
        self._point = point
        self.rows: dict[tuple[Key, int, int], Stored] = {}
        """By document, version and ordinal."""
        self.versions: dict[Key, dict[int, Head]] = {}

    async def open(self) -> None:
        pass

    async def close(self) -> None:
        pass

    async def check(self) -> str:
        return "in memory"

    async def model(self) -> str | None:
        return next((event.model for _, event, _ in self.rows.values()), None)

    async def head(self, tenant: Tenant, document_id: DocumentId) -> Head | None:
        await self._point("head")
        return self._head((tenant, document_id))

    async def newest(self, tenant: Tenant, versions: Mapping[DocumentId, int]) -> Mapping[DocumentId, Head]:
        found = {document_id: self._head((tenant, document_id)) for document_id in versions}
        return {document_id: head for document_id, head in found.items() if head is not None}

    async def vectors(
        self, tenant: Tenant, document_id: DocumentId, text_hashes: Sequence[str], *, model: str
    ) -> Mapping[str, Vectors]:
        return {
            chunk.text_hash: row for chunk, _, row in self.live((tenant, document_id)) if chunk.text_hash in text_hashes
        }

    async def write(self, event: ChunksEmbedded) -> None:
        await self._point("before rows")
        about = event.document
        vectors = np.frombuffer(event.vectors, dtype="<f4").reshape(-1, event.dimensions)
        for chunk, vector in zip(event.chunks, vectors, strict=True):
            self.rows[(about.tenant, about.document_id), about.version, chunk.ordinal] = chunk, event, vector
        await self._point("after rows")

    async def count(self, document: Document) -> ports.Stored:
        found = self._of((document.tenant, document.document_id), document.version, document.digest)
        return ports.Stored(len(found), len(found))

    async def flip(self, head: Head) -> None:
        await self._point("before head")
        self.versions.setdefault((head.tenant, head.document_id), {})[head.version] = head
        await self._point("after head")

    async def erase(self, tenant: Tenant, document_id: DocumentId, *, up_to_version: int) -> Mapping[str, int]:
        await self._point("before erasure")
        gone = [row for row in self.rows if row[0] == (tenant, document_id) and row[1] <= up_to_version]
        for row in gone:
            del self.rows[row]
        return {"memory": len(gone)}

    async def search(self, search: Search) -> Sequence[Passage]:
        await self._point("search")
        documents = sorted({document for document, _, _ in self.rows if document[0] == search.tenant})
        live = (row for document in documents for row in self.live(document))
        asked = search.filters.items()
        found = [_passage(row, search.vector) for row in live if asked <= row[1].document.metadata.items()]
        return sorted(found, key=lambda passage: -passage.scores["dense"])[: search.limit]

    async def heads(self, tenant: Tenant, *, limit: int = 1000) -> Sequence[Head]:
        heads = [self._head(document) for document in sorted(self.versions) if document[0] == tenant]
        return [head for head in heads if head is not None and head.rows_version is not None][:limit]

    async def chunks(self, tenant: Tenant, document_id: DocumentId) -> Sequence[Chunk]:
        return [chunk for chunk, _, _ in self.live((tenant, document_id))]

    async def sweep(self) -> int:
        return 0

    def live(self, document: Key) -> Sequence[Stored]:
        """The rows that searches show: those of the head, and no others."""
        head = self._head(document)
        return [] if head is None or head.rows_version is None else self._of(document, head.rows_version, head.digest)

    def _of(self, document: Key, version: int, content: str) -> list[Stored]:
        found = [row for (of, at, _), row in self.rows.items() if (of, at) == (document, version)]
        return sorted((row for row in found if row[1].document.digest == content), key=lambda row: row[0].ordinal)

    def _head(self, document: Key) -> Head | None:
        return max(self.versions.get(document, {}).values(), key=lambda head: head.version, default=None)


def _passage(row: Stored, vector: Vectors) -> Passage:
    chunk, event, own = row
    return Passage(
        document_id=event.document.document_id,
        version=event.document.version,
        ordinal=chunk.ordinal,
        title=event.document.title,
        text=chunk.text,
        page=chunk.page,
        section=chunk.section,
        start=chunk.start,
        end=chunk.end,
        metadata=event.document.metadata,
        scores={"dense": float(own @ vector)},
    )
