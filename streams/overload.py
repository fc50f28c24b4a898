"""Overload: a question that finds the language model's queue full is told at once when to ask again."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field

from processors.ports import Fragment, Generator
from schemas import AnswerMode, Passage
from streams.runtime.clock import Clock, SystemClock
from streams.runtime.interrupts import OVERLOADED, Interrupted

FIRST_GUESS_S = 5.0
"""How long a generation takes, before one has ended."""
STEP = 0.2
"""Of the mean towards the latest."""


def limited(generators: Mapping[AnswerMode, Generator], max_generations: int) -> Mapping[AnswerMode, Generator]:
    """The same generators; of the generative one no more than this many run at once."""
    return {
        mode: LimitedGenerator(generator, max_generations) if mode == "generative" else generator
        for mode, generator in generators.items()
    }


@dataclass(slots=True)
class LimitedGenerator:
    """Generates unless too many generations are under way; raises Interrupted then, before anything is asked.

    A place is held from the question to the end of its stream. The time to ask again is the mean of the latest
    generations: by then those under way are done.
    """

    generator: Generator
    max_generations: int
    clock: Clock = field(default_factory=SystemClock)
    under_way: int = 0
    _mean_s: float = FIRST_GUESS_S

    @property
    def mode(self) -> AnswerMode:
        return self.generator.mode

    @property
    def model(self) -> str:
        return self.generator.model

    async def open(self) -> None:
        await self.generator.open()

    async def close(self) -> None:
        await self.generator.close()

    async def check(self) -> str:
        return await self.generator.check()

    async def generate(self, question: str, passages: Sequence[Passage]) -> AsyncGenerator[Fragment, None]:
        if self.under_way >= self.max_generations:
            retry_after_s = max(1.0, round(self._mean_s, 1))
            raise Interrupted(
                OVERLOADED,
                f"answers under way: {self.under_way}, and this worker takes no more: ask again a little later",
                retry_after_s=retry_after_s,
            )
        self.under_way += 1
        began = self.clock.monotonic()
        try:
            async with aclosing(self.generator.generate(question, passages)) as fragments:
                async for fragment in fragments:
                    yield fragment
            self._mean_s += STEP * (self.clock.monotonic() - began - self._mean_s)
        finally:
            self.under_way -= 1
