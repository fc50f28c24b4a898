"""The confluent engine keeps the promises of every engine on a real broker."""

import pytest

from streams.runtime.engines.confluent import ConfluentEngine
from streams.runtime.engines.hosting import Engine
from streams.runtime.engines.reader import Options
from streams.runtime.records import Record
from tests.streams.runtime.engines.contract import until
from tests.streams.runtime.engines.kafka import KafkaCluster, KafkaEngineContract, running, until_committed

pytestmark = pytest.mark.stack


class TestConfluentEngine(KafkaEngineContract):
    """The contract, and static membership."""

    name = "confluent"

    async def test_a_named_instance_that_is_soon_back_moves_no_partition(self, cluster: KafkaCluster) -> None:
        topic = await cluster.topic(4)
        one: list[Record] = []
        two: list[Record] = []

        def member(name: str, seen: list[Record]) -> Engine:
            async def handle(record: Record) -> None:
                seen.append(record)

            options: Options = {
                "bootstrap.servers": cluster.bootstrap,
                "group.instance.id": name,
                "session.timeout.ms": 20_000,
            }
            engine = ConfluentEngine(options, max_events=64, max_bytes=1_000_000)
            engine.host(f"{cluster.run}-static", topic, handle)
            return engine

        def partitions(seen: list[Record]) -> set[int]:
            return {record.partition for record in seen}

        async with running(member("one", one)):
            async with running(member("two", two)):
                await cluster.fill(topic, 100, keys=97)
                await until(lambda: len(partitions(two)) == 2 and len(one) + len(two) >= 100)
                await until_committed(cluster, "static", topic, 100)
            own, lent = partitions(two), partitions(one) - partitions(two)
            one.clear()
            await cluster.fill(topic, 100, keys=97, start=100)
            await until(lambda: partitions(one) == lent)
            back: list[Record] = []
            async with running(member("two", back)):
                await until(lambda: len(one) + len(back) == 100)
        assert (partitions(one), partitions(back)) == (lent, own)


async def test_options_that_cannot_work_are_refused_by_name() -> None:
    async def handle(_: Record) -> None:
        pass

    engine = ConfluentEngine({"bootstrap.servers": "127.0.0.1:1", "no.such.option": 1}, max_events=1, max_bytes=1)
    with pytest.raises(ValueError, match=r"'kafka_options'.*no\.such\.option"):
        engine.host("group", "topic", handle)
