"""1. kill -9 of random workers at random times: nothing lost, doubled, stale or out of order, all answered."""

import asyncio
from pathlib import Path

import pytest

from streams.settings import Settings
from tests.chaos.report import Report
from tests.chaos.scenario import Run, Scenario

pytestmark = pytest.mark.stack


class Kill(Scenario):
    """Two or three kills, each of a worker that has work in hand, while documents and questions arrive."""

    number = 1
    name = "kill -9"

    async def strike(self, run: Run) -> None:
        for _ in range(run.random.randint(2, 3)):
            await asyncio.sleep(run.random.uniform(0.2, 2.5))
            await run.random.choice(run.fleet.members).kill()


async def test_nothing_is_lost_when_workers_are_killed(
    stack: Settings, seed: int, engine: str, tmp_path: Path, report: Report
) -> None:
    report.judge(await Kill().run(stack, seed=seed, engine=engine, folder=tmp_path))
