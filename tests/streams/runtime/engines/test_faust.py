"""The faust engine keeps the promises of every engine on a real broker."""

import asyncio
import threading

import pytest
from faust.types import TP

from streams.runtime.engines.faust import _Consumer, _Group
from streams.runtime.engines.hosting import Engine
from streams.runtime.records import Record
from tests.streams.runtime.engines.contract import until
from tests.streams.runtime.engines.kafka import KafkaCluster, KafkaEngineContract, running

pytestmark = pytest.mark.stack


class TestFaustEngine(KafkaEngineContract):
    """The contract, and what faust alone needs to be told."""

    name = "faust"

    def hang(self, engine: Engine, let_go: threading.Event) -> None:
        [group] = engine._groups
        assert isinstance(group, _Group)
        assert isinstance(group.app.consumer, _Consumer)
        group.app.consumer._thread.thread_loop.call_soon_threadsafe(let_go.wait)

    async def test_after_a_rebalance_a_partition_of_which_nothing_is_committed_is_read_again(
        self, cluster: KafkaCluster
    ) -> None:
        topic = await cluster.topic(1)
        await cluster.fill(topic, 5, keys=5)
        begun: list[Record] = []
        let_go = asyncio.Event()

        async def handle(record: Record) -> None:
            begun.append(record)
            await let_go.wait()

        engine = cluster.engine("fresh", topic, handle)
        [group] = engine._groups
        assert isinstance(group, _Group)
        async with running(engine):
            await until(lambda: len(begun) == 5)
            consumer = group.app.consumer
            consumer.pause_partitions([TP(topic, 0)])  # as in a rebalance, in which faust throws away what it fetches
            assert await consumer.position(TP(topic, 0)) == 5
            await consumer.perform_seek()
            assert await consumer.position(TP(topic, 0)) == 0
            let_go.set()
