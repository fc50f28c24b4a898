"""The confluent engine keeps the promises of every engine on a real broker."""

import asyncio
import threading

import pytest
from confluent_kafka import Consumer, TopicPartition

from streams.runtime.engines.confluent import ConfluentEngine, _Group
from streams.runtime.engines.hosting import Engine
from streams.runtime.engines.reader import Options, Reader
from streams.runtime.records import Record
from tests.streams.runtime.engines.contract import Handle, until
from tests.streams.runtime.engines.kafka import KafkaCluster, KafkaEngineContract, number_of, running, until_committed

pytestmark = pytest.mark.stack


def soon_paused(cluster: KafkaCluster, group: str, topic: str, handle: Handle) -> Engine:
    """A member that reads little ahead of its work."""
    options: Options = {"bootstrap.servers": cluster.bootstrap}
    engine = ConfluentEngine(options, max_events=16, max_bytes=1_000_000, ahead_bytes=100_000)
    engine.host(f"{cluster.run}-{group}", topic, handle)
    return engine


class TestConfluentEngine(KafkaEngineContract):
    """The contract, and static membership."""

    name = "confluent"

    def hang(self, engine: Engine, let_go: threading.Event) -> None:
        [group] = engine._groups
        assert isinstance(group, _Group)
        group._reader._commit = let_go.wait  # type: ignore[method-assign,assignment]  # each time that it comes round

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

    async def test_a_topic_that_is_made_anew_under_a_worker_is_read_from_its_start(self, cluster: KafkaCluster) -> None:
        topic, seen = await cluster.topic(1), set[int]()

        async def handle(record: Record) -> None:
            seen.add(number_of(record))

        await cluster.fill(topic, 200, keys=7)
        async with cluster.worker("anew", topic, handle):
            await until(lambda: len(seen) == 200)
            await until_committed(cluster, "anew", topic, 200)
            await cluster.renew(topic)
            await cluster.fill(topic, 20, keys=7, start=200)
            await until(lambda: len(seen) == 220)
        assert await cluster.committed("anew", topic) == 20

    async def test_partitions_that_come_while_reading_is_paused_leave_none_paused(
        self, cluster: KafkaCluster, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        topic = await cluster.topic(4)
        await cluster.fill(topic, 2_000, keys=97)
        seen: set[int] = set()
        loop, let_go = asyncio.get_running_loop(), asyncio.Event()

        async def handle(record: Record) -> None:
            seen.add(number_of(record))

        async def handle_late(record: Record) -> None:
            await let_go.wait()
            seen.add(number_of(record))

        paused, members = threading.Event(), list[Reader]()
        pause, assign = Reader._pause, Reader._on_assign

        def note(reader: Reader) -> None:
            pause(reader)
            paused.set()

        def let_go_when_more_comes(reader: Reader, consumer: Consumer, partitions: list[TopicPartition]) -> None:
            assign(reader, consumer, partitions)
            if partitions and reader in members:
                loop.call_soon_threadsafe(let_go.set)
            members.append(reader)

        monkeypatch.setattr(Reader, "_pause", note)
        monkeypatch.setattr(Reader, "_on_assign", let_go_when_more_comes)
        async with running(soon_paused(cluster, "paused", topic, handle_late)):
            await until(paused.is_set)
            async with running(soon_paused(cluster, "paused", topic, handle)):
                pass
            await until(lambda: len(seen) == 2_000)

    async def test_a_partition_that_went_while_reading_was_paused_is_read_when_it_is_back(
        self, cluster: KafkaCluster, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        topic = await cluster.topic(2)
        await cluster.fill(topic, 1_000, keys=97)
        one, two = set[int](), set[int]()
        paused, let_go = threading.Event(), asyncio.Event()
        pause = Reader._pause

        def note(reader: Reader) -> None:
            pause(reader)
            paused.set()

        async def handle(record: Record) -> None:
            two.add(number_of(record))

        async def handle_late(record: Record) -> None:
            await let_go.wait()
            one.add(number_of(record))

        monkeypatch.setattr(Reader, "_pause", note)
        async with running(soon_paused(cluster, "back", topic, handle_late)):
            await until(paused.is_set)
            async with running(soon_paused(cluster, "back", topic, handle)):
                await until(lambda: len(two) > 0)
                let_go.set()
                await until(lambda: len(one | two) == 1_000)
            await cluster.fill(topic, 100, keys=97, start=1_000)
            await until(lambda: len(one | two) == 1_100)


async def test_options_that_cannot_work_are_refused_by_name() -> None:
    async def handle(_: Record) -> None:
        pass

    engine = ConfluentEngine({"bootstrap.servers": "127.0.0.1:1", "no.such.option": 1}, max_events=1, max_bytes=1)
    with pytest.raises(ValueError, match=r"'kafka_options'.*no\.such\.option"):
        engine.host("group", "topic", handle)
