"""3. The broker restarts, is killed, stays away, or stands still for longer than a session lasts."""

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest

from streams.settings import Settings
from tests.chaos.fleet import SESSION_S
from tests.chaos.report import Report
from tests.chaos.scenario import Run, Scenario
from tests.servers.own import OwnServer, broker, running

pytestmark = pytest.mark.stack
QUICK_ENGINES = ("faust",)


@dataclass(frozen=True, slots=True)
class Failure:
    """What happens to the broker, and how long it stays so."""

    what: Literal["SIGTERM", "kill -9", "SIGSTOP"]
    away_s: float = 0.0


FAILURES = (
    Failure("SIGSTOP", SESSION_S + 2),
    Failure("kill -9", 5),
    Failure("SIGTERM"),
    Failure("kill -9"),
    Failure("kill -9", 30),
)
"""By seed, in turn."""


class BrokerFails(Scenario):
    """It fails while documents and questions are under way, comes back on the same data, and work goes on by itself."""

    number = 3
    name = "broker fails"

    def __init__(self, server: OwnServer) -> None:
        self._broker = server

    async def strike(self, run: Run) -> None:
        failure = FAILURES[run.seed % len(FAILURES)]
        await asyncio.sleep(run.random.uniform(0.5, 3))
        await run.busy()
        match failure.what:
            case "SIGTERM":
                await self._broker.stop()
            case "kill -9":
                await self._broker.kill()
            case "SIGSTOP":
                self._broker.pause()
        held = run.in_hand()  # nothing of which can be acknowledged any more
        await asyncio.sleep(failure.away_s)
        if failure.what == "SIGSTOP":
            self._broker.resume()
        else:
            await self._broker.start()
        evidence = f"{len(held)} in hand, and {run.unanswered} unanswered {failure.away_s:g} s later"
        run.note(failure.what, "broker", struck=bool(held and run.unanswered), evidence=evidence)


async def test_nothing_is_lost_when_the_broker_fails(
    stack: Settings, seed: int, engine: str, tmp_path: Path, report: Report
) -> None:
    async with running(broker(stack, tmp_path), tmp_path / "kafka.log") as server:
        theirs = stack.model_copy(update={"kafka": server.address})
        report.judge(await BrokerFails(server).run(theirs, seed=seed, engine=engine, folder=tmp_path))
