"""Ports that cost next to nothing, so that what remains is the pipeline's own cost."""

from collections.abc import Mapping, Sequence
from zlib import crc32

import numpy as np

from processors.ports import (
    Element,
    Embedder,
    Generator,
    Head,
    Index,
    ObjectStore,
    Parser,
    Reranker,
    Role,
    Search,
    Stored,
    Vectors,
)
from schemas import AnswerMode, Chunk, ChunksEmbedded, Document, DocumentId, Passage, Tenant
from streams.pipelines import Ports

DIMENSIONS = 384
TABLE_ROWS = 4096


class SplittingParser:
    """Elements of a Markdown text, by its blank lines."""

    async def open(self) -> None: ...

    async def close(self) -> None: ...

    async def check(self) -> str:
        return "splits at blank lines"

    async def parse(self, data: bytes, *, media_type: str, filename: str) -> Sequence[Element]:
        return [
            Element(kind="title" if part.startswith("#") else "text", text=part.lstrip("# "))
            for part in data.decode().split("\n\n")
        ]


class TableEmbedder:
    """A unit vector per text out of a table, chosen by the text: the same text always has the same."""

    model = "benchmark-table"
    dimensions = DIMENSIONS

    def __init__(self) -> None:
        table = np.random.default_rng(1).standard_normal((TABLE_ROWS, DIMENSIONS), dtype=np.float32)
        self._table: Vectors = table / np.linalg.norm(table, axis=1, keepdims=True)

    async def open(self) -> None: ...

    async def close(self) -> None: ...

    async def check(self) -> str:
        return self.model

    async def embed(self, texts: Sequence[str], *, role: Role) -> Vectors:
        return self._table[[crc32(text.encode()) % TABLE_ROWS for text in texts]]


class WordsEmbedder(TableEmbedder):
    """The sum of its words' vectors: texts that share words are near each other, as a search needs."""

    model = "benchmark-words"

    async def embed(self, texts: Sequence[str], *, role: Role) -> Vectors:
        rows = [[crc32(word.encode()) % TABLE_ROWS for word in text.split()] for text in texts]
        sums = np.stack([self._table[row].sum(axis=0) for row in rows])
        return np.asarray(sums / np.linalg.norm(sums, axis=1, keepdims=True), dtype=np.float32)


class CountingIndex:
    """Counts chunks and remembers heads; holds no text and finds nothing."""

    def __init__(self) -> None:
        self._heads: dict[tuple[Tenant, DocumentId], Head] = {}
        self._stored: dict[tuple[str, str, int], Stored] = {}

    async def open(self) -> None: ...

    async def close(self) -> None: ...

    async def check(self) -> str:
        return f"{len(self._heads)} documents"

    async def model(self) -> str | None:
        return None

    async def head(self, tenant: Tenant, document_id: DocumentId) -> Head | None:
        return self._heads.get((tenant, document_id))

    async def newest(self, tenant: Tenant, versions: Mapping[DocumentId, int]) -> Mapping[DocumentId, Head]:
        return {name: self._heads[tenant, name] for name in versions if (tenant, name) in self._heads}

    async def vectors(
        self, tenant: Tenant, document_id: DocumentId, text_hashes: Sequence[str], *, model: str
    ) -> Mapping[str, Vectors]:
        return {}

    async def write(self, event: ChunksEmbedded) -> None:
        before = await self.count(event.document)
        after = Stored(before.chunks + len(event.chunks), before.embedded + event.embedded)
        self._stored[_version(event.document)] = after

    async def count(self, document: Document) -> Stored:
        return self._stored.get(_version(document), Stored(0, 0))

    async def flip(self, head: Head) -> None:
        self._heads[head.tenant, head.document_id] = head

    async def erase(self, tenant: Tenant, document_id: DocumentId, *, up_to_version: int) -> Mapping[str, int]:
        return {}

    async def search(self, search: Search) -> Sequence[Passage]:
        return []

    async def heads(self, tenant: Tenant, *, limit: int = 1000) -> Sequence[Head]:
        return list(self._heads.values())[:limit]

    async def chunks(self, tenant: Tenant, document_id: DocumentId) -> Sequence[Chunk]:
        return []

    async def sweep(self) -> int:
        return 0


def _version(document: Document) -> tuple[str, str, int]:
    return document.tenant, document.document_id, document.version


class StubEmbedderPorts:
    """The ports of a deployment with a cheap embedder in place of the model."""

    def __init__(self, ports: Ports) -> None:
        self.parser: Parser = ports.parser
        self.objects: ObjectStore = ports.objects
        self.embedder: Embedder = WordsEmbedder()
        self.index: Index = ports.index
        self.reranker: Reranker = ports.reranker
        self.generators: dict[AnswerMode, Generator] = ports.generators


class FreePorts(StubEmbedderPorts):
    """Nothing on the ingest path that costs."""

    def __init__(self, ports: Ports) -> None:
        super().__init__(ports)
        self.parser = SplittingParser()
        self.embedder = TableEmbedder()
        self.index = CountingIndex()
