"""Both engines go on where they were when their broker is killed and started again."""

import os
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from streams.local.kafka import broker
from streams.local.keeper import Keeper
from streams.local.listeners import free_ports
from streams.local.state import PartState
from streams.runtime.records import Record
from streams.settings import EngineName, LocalStack, Settings
from tests.streams.runtime.engines.contract import Handle, until
from tests.streams.runtime.engines.kafka import KafkaCluster, number_of

pytestmark = pytest.mark.stack

ENGINES: tuple[EngineName, ...] = ("faust", "confluent")


class OwnBroker:
    """A broker of this test alone, which is started again whenever it ends."""

    def __init__(self, settings: Settings, jars: Path) -> None:
        self.address = settings.kafka_url
        self._state = PartState(name="kafka")
        self._keeper = Keeper(broker(settings, jars), self._state, settings.home / "kafka.log", lambda: None, str)

    async def start(self) -> None:
        self._keeper.start([])
        await until(lambda: self._state.phase == "ready")

    async def kill_and_wait(self) -> None:
        killed = self._state.pid
        assert killed is not None
        os.kill(killed, signal.SIGKILL)
        await until(lambda: self._state.pid not in {killed, None} and self._state.phase == "ready")

    async def stop(self) -> None:
        await self._keeper.stop()


@pytest.fixture
async def own_broker(stack: Settings, tmp_path: Path) -> AsyncIterator[OwnBroker]:
    assert stack.local.jars is not None
    kafka, controller = free_ports(2)
    settings = Settings(home=tmp_path, local=LocalStack(kafka_port=kafka, kafka_controller_port=controller))
    one = OwnBroker(settings, stack.local.jars)
    await one.start()
    yield one
    await one.stop()


async def test_a_broker_that_is_killed_and_comes_back_costs_no_record(own_broker: OwnBroker) -> None:
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
        await own_broker.kill_and_wait()
        for cluster, topic in zip(clusters, topics, strict=True):
            await cluster.fill(topic, 200, keys=7, start=200)
        await until(lambda: all(len(numbers) == 400 for numbers in seen))
    for cluster, topic in zip(clusters, topics, strict=True):
        assert await cluster.committed("restart", topic) == 400
