"""With a rule about errors switched off, the checker finds the violation; with it, the same runs are clean."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest

from processors.embed import Embed
from processors.errors import Poison, Transient
from schemas import ChunksEmbedded, ChunksExtracted, DocumentDeleted
from streams.runtime import work
from streams.runtime.retry import Retry
from tests.chaos.memory import MemoryRun
from tests.chaos.memory_index import MemoryIndex, Point
from tests.chaos.test_mutants import SEEDS, broken, steps


class Flaky(MemoryIndex):
    """Every fifth write finds it busy for a moment."""

    def __init__(self, point: Point) -> None:
        super().__init__(point)
        self._writes = 0

    async def write(self, event: ChunksEmbedded) -> None:
        self._writes += 1
        if self._writes % 5 == 0:
            raise Transient("busy", retry_after_s=0.001)
        await super().write(event)


class GivesUp(Retry):
    """What fails once is put aside."""

    async def run(self, attempt: Callable[[], Awaitable[Any]], **_: object) -> Any:
        try:
            return await attempt()
        except Transient as error:
            raise Poison("unavailable", error.reason) from error


async def test_an_outage_that_counts_as_poison_puts_good_documents_aside(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not await broken(MemoryRun(steps(seed), index=Flaky).run() for seed in SEEDS)
    monkeypatch.setattr("tests.chaos.memory.Retry", GivesUp)
    assert (await broken(MemoryRun(steps(seed), index=Flaky).run() for seed in SEEDS))["unexpected"]


async def test_a_stage_that_says_nothing_leaves_nobody_waiting_unless_that_counts_as_success(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    embed = Embed.__call__

    async def forgetful(
        self: Embed, event: ChunksExtracted | DocumentDeleted, /
    ) -> Sequence[ChunksEmbedded | DocumentDeleted]:
        silent = isinstance(event, ChunksExtracted) and event.document.version == 2
        return [] if silent else await embed(self, event)

    monkeypatch.setattr(Embed, "__call__", forgetful)
    told = await broken(MemoryRun(steps(seed)).run() for seed in SEEDS)
    assert told["unexpected"], "it is told by a rejection and a letter"
    assert not told["unanswered"]
    monkeypatch.setattr(work, "_may_be_silent", lambda event: True)
    assert (await broken(MemoryRun(steps(seed)).run() for seed in SEEDS))["unanswered"]
