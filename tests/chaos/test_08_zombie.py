"""8. Zombie writer: a worker is stopped past its session, its partitions are taken over, and then it goes on."""

import asyncio
from pathlib import Path

import pytest

from streams.settings import Settings
from tests.chaos.fleet import SESSION_S, Member
from tests.chaos.report import Report
from tests.chaos.scenario import Run, Scenario
from tests.chaos.workload import Shape

pytestmark = pytest.mark.stack
QUICK_ENGINES = ("faust",)

TAKEN_OVER_S = 30.0


class Zombie(Scenario):
    """The worker that comes back finishes writes that another one has made meanwhile, and newer ones over them."""

    number = 8
    name = "zombie writer"
    shape = Shape(documents=12, events=150, over_s=2 * SESSION_S)

    async def strike(self, run: Run) -> None:
        await asyncio.sleep(run.random.uniform(0.2, 2.0))
        member = run.random.choice(run.fleet.members)
        frozen = await member.pause("upsert")
        held = {about for about in member.in_hand if about.startswith("upsert")}
        repeated = await _taken_over(run, member, held)
        await asyncio.sleep(run.random.uniform(0.0, 2.0))
        member.resume()
        evidence = f"{frozen.evidence}; another worker began {len(repeated)} of {len(held)} meanwhile"
        run.note("continued", member.name, struck=bool(held and repeated), evidence=evidence)


async def _taken_over(run: Run, zombie: Member, held: set[str]) -> set[str]:
    """What the zombie holds and others have begun too, once that is all of it."""
    loop = asyncio.get_running_loop()
    until = loop.time() + TAKEN_OVER_S
    repeated: set[str] = set()
    while repeated < held and loop.time() < until:
        await asyncio.sleep(0.2)
        others = [member for member in run.fleet.members if member is not zombie]
        repeated = {record for record in held if any(record in other.handled for other in others)}
    return repeated


async def test_a_worker_that_comes_back_late_spoils_nothing(
    stack: Settings, seed: int, engine: str, tmp_path: Path, report: Report
) -> None:
    report.judge(await Zombie().run(stack, seed=seed, engine=engine, folder=tmp_path))
