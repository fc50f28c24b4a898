"""Both engines go on where they were when their broker is killed and started again."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from streams.runtime.records import Record
from streams.settings import EngineName, Settings
from tests.servers.own import OwnServer, broker, running
from tests.streams.runtime.engines.contract import Handle, until
from tests.streams.runtime.engines.kafka import KafkaCluster, number_of

pytestmark = pytest.mark.stack

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
