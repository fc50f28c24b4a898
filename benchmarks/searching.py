"""Search the index as a caller's worker would, until a document is found."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from processors.ports import Embedder, Index, Search
from schemas import Tenant
from streams.composition import Backends
from streams.settings import Settings

PAUSE_S = 0.005
"""Between two searches, so that the waiting caller does not keep the store busy all the time."""


@dataclass(frozen=True, slots=True)
class Searcher:
    """Dense and BM25 search in one, from a process of its own."""

    index: Index
    embedder: Embedder

    async def until_found(self, sentence: str, paragraph: str, document_id: str, *, timeout_s: float = 30.0) -> None:
        """Return when a search near `paragraph` for the words of `sentence` has found them in this document."""
        vector = (await self.embedder.embed([paragraph], role="query"))[0]
        search = Search(tenant=Tenant("default"), text=sentence, vector=vector, model=self.embedder.model, limit=5)
        async with asyncio.timeout(timeout_s):
            while True:
                passages = await self.index.search(search)
                if any(passage.document_id == document_id and sentence in passage.text for passage in passages):
                    return
                await asyncio.sleep(PAUSE_S)


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
