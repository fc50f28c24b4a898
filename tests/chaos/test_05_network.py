"""5. The network between everybody and the broker is slow, deaf, torn or gone; acknowledgements get lost on the way."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from streams.local.parts import Part
from streams.settings import Settings
from tests.chaos.fleet import SESSION_S
from tests.chaos.report import Report
from tests.chaos.scenario import Run, Scenario
from tests.servers.own import broker, running
from tests.servers.proxy import Fault, FaultProxy

pytestmark = pytest.mark.stack
QUICK_SEEDS = (5,)
QUICK_ENGINES = ("faust",)

TROUBLES = 4
"""In each run, one after the other."""
LASTS_S = (0.5, 1.0, 2.0, SESSION_S + 1)


class NetworkFails(Scenario):
    """Producers, callers and workers reach the broker by a proxy, which fails them in all its ways."""

    number = 5
    name = "network fails"

    def __init__(self, proxy: FaultProxy) -> None:
        self._proxy = proxy

    async def strike(self, run: Run) -> None:
        for fault in run.random.sample(_faults(run.random), k=TROUBLES):
            await asyncio.sleep(run.random.uniform(0.2, 1))
            lasts_s = run.random.choice(LASTS_S)
            await run.busy()
            before = self._proxy.harmed
            self._proxy.fault = fault
            await asyncio.sleep(lasts_s)
            held, harmed = run.in_hand(), self._proxy.harmed - before
            await self._proxy.heal()
            evidence = f"{harmed} pieces harmed in {lasts_s:.1f} s, {len(held)} in hand at the end"
            run.note(f"{fault}", "network", struck=bool(harmed and held), evidence=evidence)


def _faults(random: Random) -> Sequence[Fault]:
    """One of each kind."""
    return (
        Fault(latency_s=random.uniform(0.02, 0.3)),
        Fault(black_hole=True),
        Fault(reset=True),
        # What is written is acknowledged by some 60 bytes, which these may tear.
        Fault(cut_after_bytes=random.randint(0, 100)),
        Fault(cut_after_bytes=random.randint(100, 20_000)),
        Fault(stall_after_bytes=random.randint(0, 2_000)),
    )


@asynccontextmanager
async def behind_a_proxy(stack: Settings, folder: Path) -> AsyncIterator[tuple[Settings, FaultProxy]]:
    """The stack with a broker of this run alone, which names a proxy as its address."""
    part = broker(stack, folder)
    assert part.port is not None
    async with FaultProxy("127.0.0.1", part.port) as proxy:
        advertised = _advertised(part, folder / "kafka" / "server.properties", proxy)
        async with running(advertised, folder / "kafka.log"):
            yield stack.model_copy(update={"kafka": proxy.address}), proxy


def _advertised(part: Part, properties: Path, proxy: FaultProxy) -> Part:
    """The broker, telling clients another address than its own."""

    def prepare() -> None:
        assert part.prepare is not None
        part.prepare()
        own, theirs = (f"advertised.listeners=PLAINTEXT://127.0.0.1:{port}" for port in (part.port, proxy.port))
        text = properties.read_text()
        assert own in text
        properties.write_text(text.replace(own, theirs))

    return replace(part, prepare=prepare)


async def test_nothing_is_lost_when_the_network_fails(
    stack: Settings, seed: int, engine: str, tmp_path: Path, report: Report
) -> None:
    async with behind_a_proxy(stack, tmp_path) as (theirs, proxy):
        report.judge(await NetworkFails(proxy).run(theirs, seed=seed, engine=engine, folder=tmp_path))
