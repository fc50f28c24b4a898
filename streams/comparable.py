"""Whether the embedder's vectors can be compared with those that the index holds."""

import asyncio
from dataclasses import dataclass

from processors.errors import Poison
from processors.ports import Embedder, Index


async def check_comparable(embedder: Embedder, index: Index, *, address: str) -> None:
    """Both must be open. Raises Poison `model-mismatch`, which is cheaper at a start than for each document."""
    stored = await index.model()
    if stored not in (None, embedder.model):
        raise Poison(
            "model-mismatch",
            f"the embedder's model is {embedder.model!r}, and the vectors in {address} come from {stored!r}: "
            "set `embedder` back, or name a new collection in `index` and ingest again",
        )


@dataclass(frozen=True, slots=True)
class Vectors:
    """Embedder and index as one thing that can be looked at."""

    embedder: Embedder
    index: Index
    address: str
    """Of the index."""

    async def open(self) -> None:
        await asyncio.gather(self.embedder.open(), self.index.open())

    async def close(self) -> None:
        await asyncio.gather(self.embedder.close(), self.index.close())

    async def check(self) -> str:
        await check_comparable(self.embedder, self.index, address=self.address)
        return f"those in {self.address} can be compared with the embedder's"
