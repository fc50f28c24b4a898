"""1. kill -9 of random workers at random times: nothing lost, doubled, stale or out of order, all answered."""

import asyncio
import time
from pathlib import Path

import pytest

from streams.settings import Settings
from tests.chaos.report import Report
from tests.chaos.scenario import Figure, Run, Scenario
from tests.chaos.workload import Shape

pytestmark = pytest.mark.stack
QUICK_ENGINES = ("confluent",)

CLEARS_WITHIN = 1.5
"""Times what an uninterrupted run takes: what the project promises of a backlog whose worker is killed."""


class Kill(Scenario):
    """Two or three kills, each of a worker that has work in hand, while documents and questions arrive."""

    number = 1
    name = "kill -9"
    spares_workers = True

    async def strike(self, run: Run) -> None:
        for _ in range(run.random.randint(2, 3)):
            await asyncio.sleep(run.random.uniform(0.2, 2.5))
            await run.fleet.victim(run.random).kill()


class Backlog(Scenario):
    """Documents wait when the workers start, whose sessions are as long as the product's; one of them is killed."""

    number = 1
    name = "kill -9, backlog"
    shape = Shape(documents=600, events=2_000, questions=0, over_s=0.0)
    workers = 0
    session_s = 10.0

    def __init__(self, uninterrupted_s: float = 0.0) -> None:
        """Without the time of an uninterrupted run, this is one."""
        self._uninterrupted_s = uninterrupted_s
        self.took_s = 0.0

    async def strike(self, run: Run) -> None:
        await run.driven.wait()
        await run.fleet.start(2)
        began = time.monotonic()
        if self._uninterrupted_s:
            await asyncio.sleep(run.random.uniform(0.1, 0.8) * self._uninterrupted_s)
            await run.random.choice(run.fleet.members).kill()
        await run.rest(within_s=300.0)
        self.took_s = time.monotonic() - began
        if self._uninterrupted_s:
            ratio = self.took_s / self._uninterrupted_s
            about = f"time to clear {self.shape.events:,} events, to that of an uninterrupted run"
            run.figures[about] = Figure(value=ratio, unit="times", at_most=CLEARS_WITHIN)
            run.figures["an uninterrupted run of the same"] = Figure(value=self._uninterrupted_s, unit="s")


async def test_nothing_is_lost_when_workers_are_killed(
    stack: Settings, seed: int, engine: str, tmp_path: Path, report: Report
) -> None:
    report.judge(await Kill().run(stack, seed=seed, engine=engine, folder=tmp_path))


@pytest.mark.chaos
@pytest.mark.timeout(1800)
async def test_a_backlog_clears_almost_as_fast_when_a_worker_is_killed(
    stack: Settings, engine: str, tmp_path: Path, report: Report
) -> None:
    for seed in (1, 2, 3):
        quiet = Backlog()  # of the same seed, and so the same documents and segments
        outcome = await quiet.run(stack, seed=seed, engine=engine, folder=tmp_path)
        assert outcome.verdict.clean, outcome.story
        report.judge(await Backlog(quiet.took_s).run(stack, seed=seed, engine=engine, folder=tmp_path))
