"""2. Rebalance storms: workers join and leave every few seconds, by SIGTERM and by SIGKILL."""

import asyncio
from pathlib import Path

import pytest

from streams.settings import Settings
from tests.chaos.report import Report
from tests.chaos.scenario import Figure, Run, Scenario
from tests.chaos.workload import Shape

pytestmark = pytest.mark.stack
QUICK_ENGINES = ("confluent",)

STORM_S = 12.0
MOST = 4
"""Workers at a time."""
PATIENCE_S = 2.0
"""How long a storm waits for its victim to have something in hand: while partitions move, nobody may have."""


class RebalanceStorm(Scenario):
    """A worker joins, leaves or is killed every second or two, so that partitions are on the move all the time."""

    number = 2
    name = "rebalance storm"
    shape = Shape(events=240, over_s=STORM_S)

    async def strike(self, run: Run) -> None:
        loop = asyncio.get_running_loop()
        until, moves = loop.time() + STORM_S, 0
        async with asyncio.TaskGroup() as leaving:
            while loop.time() < until:
                await asyncio.sleep(run.random.uniform(0.5, 1.5))
                moves += 1
                member, members = run.fleet.victim(run.random), len(run.fleet.members)
                what = run.random.choice(("join", "leave", "kill"))
                if what == "kill":
                    await member.kill(patience_s=PATIENCE_S)
                elif members > 1 and (what == "leave" or members == MOST):
                    leaving.create_task(run.fleet.leave(member, patience_s=PATIENCE_S))
                else:
                    run.fleet.join()
        run.figures["workers that joined, left or were killed"] = Figure(value=moves, unit="per run")


async def test_nothing_is_lost_while_partitions_move(
    stack: Settings, seed: int, engine: str, tmp_path: Path, report: Report
) -> None:
    report.judge(await RebalanceStorm().run(stack, seed=seed, engine=engine, folder=tmp_path))
