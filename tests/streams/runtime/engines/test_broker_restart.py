"""Both engines go on where they were when their broker is killed and started again, and end while it hangs."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from streams.runtime.records import Record
from streams.settings import EngineName, Settings
from tests.servers.own import OwnServer, broker, running
from tests.streams.runtime.engines.contract import PATIENCE_S, Handle, until
from tests.streams.runtime.engines.kafka import KafkaCluster, number_of, victim
from tests.streams.runtime.engines.kafka import running as at_work

pytestmark = pytest.mark.stack

HANGS_S = 60.0
"""On a machine with time to spare it ends in eleven seconds; one that waits for its threads, not in two minutes."""
ENGINES: tuple[EngineName, ...] = ("faust", "confluent")


@pytest.fixture
async def own_broker(stack: Settings, tmp_path: Path) -> AsyncIterator[OwnServer]:
    async with running(broker(stack, tmp_path), tmp_path / "kafka.log") as server:
        yield server


async def test_a_broker_that_is_killed_and_comes_back_costs_no_record(own_broker: OwnServer) -> None:
    clusters = [KafkaCluster(own_broker.address, name) for name in ENGINES]
    topics = [await cluster.topic(2) for cluster in clusters]
    seen: list[set[int]] = [set() for _ in clusters]

    def handler(numbers: set[int]) -> Handle:
        async def handle(record: Record) -> None:
            numbers.add(number_of(record))

        return handle

    async with AsyncExitStack() as workers:
        for cluster, topic, numbers in zip(clusters, topics, seen, strict=True):
            await workers.enter_async_context(cluster.worker("restart", topic, handler(numbers)))
            await cluster.fill(topic, 200, keys=7)
        await until(lambda: all(len(numbers) == 200 for numbers in seen))
        await own_broker.kill()
        await own_broker.start()
        for cluster, topic in zip(clusters, topics, strict=True):
            await cluster.fill(topic, 200, keys=7, start=200)
        await until(lambda: all(len(numbers) == 400 for numbers in seen))
    for cluster, topic in zip(clusters, topics, strict=True):
        assert await cluster.committed("restart", topic) == 400


async def test_readers_come_round_while_their_broker_is_away(own_broker: OwnServer) -> None:
    async def handle(_: Record) -> None:
        pass

    clusters = [KafkaCluster(own_broker.address, name) for name in ENGINES]
    engines = [cluster.engine("away", await cluster.topic(1), handle) for cluster in clusters]
    groups = [group for engine in engines for group in engine._groups]
    async with AsyncExitStack() as workers:
        for engine in engines:
            await workers.enter_async_context(at_work(engine))
        await own_broker.kill()
        rounds, last_s = [0 for _ in groups], [0.0 for _ in groups]
        async with asyncio.timeout(PATIENCE_S):
            while min(rounds) < 5:
                for number, group in enumerate(groups):
                    silent_s = group.silent_s()
                    rounds[number] += silent_s < last_s[number]
                    last_s[number] = silent_s
                await asyncio.sleep(0.02)
        await own_broker.start()


@pytest.mark.parametrize("name", ENGINES)
async def test_a_worker_that_is_told_to_end_while_its_broker_hangs_ends(
    own_broker: OwnServer, name: EngineName, tmp_path: Path
) -> None:
    """It has work to commit, of which no answer comes."""
    cluster = KafkaCluster(own_broker.address, name)
    topic = await cluster.topic(1)
    await cluster.fill(topic, 600, keys=41)
    async with victim(cluster, topic, tmp_path / "log") as worker:
        await until(lambda: len(worker.handled()) > 50)
        own_broker.pause()
        worker.process.terminate()
        async with asyncio.timeout(HANGS_S):
            assert await worker.process.wait() == 0
    own_broker.resume()
