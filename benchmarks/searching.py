"""Search the index as a caller's worker would."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from processors.ports import Embedder, Index, Search
from schemas import Tenant
from streams.composition import Backends
from streams.settings import Settings


@dataclass(frozen=True, slots=True)
class Searcher:
    """Dense and BM25 search in one, from a process of its own."""

    index: Index
    embedder: Embedder

    async def find(self, sentence: str, paragraph: str, document_id: str) -> None:
        """Return where a search near `paragraph` for the words of `sentence` finds them in this document."""
        vector = (await self.embedder.embed([paragraph], role="query"))[0]
        search = Search(tenant=Tenant("default"), text=sentence, vector=vector, model=self.embedder.model, limit=20)
        passages = await self.index.search(search)
        if not any(passage.document_id == document_id and sentence in passage.text for passage in passages):
            raise RuntimeError(f"{document_id!r} has its receipt, and {sentence!r} is not found in it")


@asynccontextmanager
async def searcher(settings: Settings, embedder: Embedder) -> AsyncIterator[Searcher]:
    """A searcher on the deployment's index; the embedder must be the one that filled it."""
    index = Backends(settings).index
    await index.open()
    await embedder.open()
    try:
        yield Searcher(index, embedder)
    finally:
        await embedder.close()
        await index.close()
