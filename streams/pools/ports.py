"""The ports over pools: to processors they look like one instance that hardly ever fails."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Generic, TypeVar

from processors.errors import Transient
from processors.ports import Embedder, Fragment, Generator, Port, Reranker, Role, Vectors
from schemas import AnswerMode, Passage
from streams.pools.pool import Pool
from streams.truncation import truncated

P = TypeVar("P", bound=Port)

CALL_CHARS = 100
"""What a call costs beside its text, so that short questions count as alike."""


@dataclass(slots=True)
class Pooled(Generic[P]):
    """What all three share."""

    pool: Pool[P]

    async def open(self) -> None:
        await self.pool.open()

    async def close(self) -> None:
        await self.pool.close()

    async def check(self) -> str:
        return await self.pool.check()

    @property
    def truncated(self) -> int:
        return sum(truncated(member.port) for member in self.pool.roster.members)


class PooledEmbedder(Pooled[Embedder]):
    """An embedder of several instances, all with the same model."""

    @property
    def model(self) -> str:
        return self.pool.first.model

    @property
    def dimensions(self) -> int:
        return self.pool.first.dimensions

    async def embed(self, texts: Sequence[str], *, role: Role) -> Vectors:
        size = CALL_CHARS + sum(map(len, texts))
        return await self.pool.run(size, lambda embedder: embedder.embed(texts, role=role))


class PooledReranker(Pooled[Reranker]):
    """A reranker of several instances."""

    async def rerank(self, question: str, passages: Sequence[Passage]) -> Sequence[float]:
        size = CALL_CHARS + sum(len(question) + len(passage.text) for passage in passages)
        return await self.pool.run(size, lambda reranker: reranker.rerank(question, passages))


class PooledGenerator(Pooled[Generator]):
    """A generator of several instances; what has begun at one is never continued at another."""

    @property
    def mode(self) -> AnswerMode:
        return self.pool.first.mode

    @property
    def model(self) -> str:
        return self.pool.first.model

    async def generate(self, question: str, passages: Sequence[Passage]) -> AsyncGenerator[Fragment, None]:
        call = self.pool.roster.begin(size=1)
        while True:
            try:
                with call:
                    async with aclosing(call.member.port.generate(question, passages)) as fragments:
                        async for fragment in fragments:
                            call.answer()
                            yield fragment
                return
            except Transient as error:
                if call.answered:
                    raise
                call = self.pool.elsewhere(call, error)
