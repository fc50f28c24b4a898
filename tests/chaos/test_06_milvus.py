"""6. Milvus is killed while it is written to, and starts again on what it had saved by then."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Protocol

import pytest

from processors.backends.milvus.index import STALENESS_S
from streams.local.listeners import free_ports
from streams.local.milvus import vector_store
from streams.settings import Settings
from tests.chaos.ledger import Received
from tests.chaos.report import Report
from tests.chaos.scenario import Run, Scenario
from tests.servers import milvus
from tests.servers.own import OwnServer, running

pytestmark = pytest.mark.stack
QUICK_ENGINES = ("confluent",)

MORE = 10
"""Documents that were acknowledged before each kill."""


class Store(Protocol):
    """A vector store that can be killed and started again."""

    async def kill(self) -> None: ...

    async def start(self) -> None: ...


class MilvusLiteKilled(Scenario):
    """Two or three times, each while an upsert is in hand, it is killed and away for a moment."""

    number = 6
    name = "Milvus Lite killed"
    longest_s = 3.0

    def __init__(self, store: Store) -> None:
        self._store = store

    async def strike(self, run: Run) -> None:
        for _ in range(run.random.randint(2, 3)):
            await _more_receipts(run)
            await asyncio.sleep(run.random.uniform(0, 1))
            await run.busy("upsert")
            receipts = _receipts(run)
            await self._store.kill()
            held = run.in_hand("upsert")  # which it has not acknowledged, and cannot
            await asyncio.sleep(run.random.uniform(0, self.longest_s))
            await self._store.start()
            evidence = f"{len(held)} upserts in hand, and {receipts} receipts to keep"
            run.note("kill -9", "Milvus", struck=bool(held and receipts), evidence=evidence)


def _receipts(run: Run) -> int:
    return sum(isinstance(entry, Received) for entry in run.ledger.entries)


async def _more_receipts(run: Run) -> None:
    """Wait until there is something to lose that was not there before, or nothing more comes."""
    enough = _receipts(run) + MORE
    while _receipts(run) < enough and not (run.driven.is_set() and not run.unanswered):  # noqa: ASYNC110 (a ledger tells)
        await asyncio.sleep(0.01)


class MilvusKilled(MilvusLiteKilled):
    """The real server recovers for up to two minutes after each kill."""

    name = "Milvus 2.3.5 killed"
    lag_s = 2 * STALENESS_S


@asynccontextmanager
async def own_milvus_lite(stack: Settings, folder: Path) -> AsyncIterator[OwnServer]:
    """A Milvus Lite of this run alone: others need theirs."""
    [port] = free_ports(1)
    local = stack.local.model_copy(update={"milvus_port": port})
    own = stack.model_copy(update={"home": folder, "local": local})
    async with running(vector_store(own), folder / "milvus.log") as server:
        yield server


def beside(stack: Settings, port: int | None) -> Settings:
    """The stack, but with the Milvus at another port."""
    assert stack.local.milvus_port != port
    return stack.model_copy(update={"local": stack.local.model_copy(update={"milvus_port": port})})


async def test_nothing_with_a_receipt_is_lost_when_milvus_lite_is_killed(
    stack: Settings, seed: int, engine: str, tmp_path: Path, report: Report
) -> None:
    async with own_milvus_lite(stack, tmp_path) as store:
        theirs = beside(stack, store.part.port)
        report.judge(await MilvusLiteKilled(store).run(theirs, seed=seed, engine=engine, folder=tmp_path))


class Standalone:
    """A real Milvus, whose starts and ends take as long as they take."""

    def __init__(self, server: milvus.Standalone) -> None:
        self._server = server

    async def kill(self) -> None:
        await asyncio.to_thread(self._server.kill)

    async def start(self) -> None:
        await asyncio.to_thread(self._server.start)


@pytest.mark.chaos
@pytest.mark.servers
@pytest.mark.timeout(1200)
async def test_nothing_with_a_receipt_is_lost_when_a_real_milvus_is_killed(
    stack: Settings, engine: str, tmp_path: Path, report: Report, pytestconfig: pytest.Config
) -> None:
    if reason := milvus.missing():
        pytest.skip(reason)
    seed: int = pytestconfig.getoption("first_seed")
    with milvus.standalone() as server:
        theirs = beside(stack, server.port)
        report.judge(await MilvusKilled(Standalone(server)).run(theirs, seed=seed, engine=engine, folder=tmp_path))
