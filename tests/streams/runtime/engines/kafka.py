"""What engines promise on a real broker, beyond the contract of all engines."""

import asyncio
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from streams.runtime.engines.hosting import Engine
from streams.runtime.errors import Fatal
from streams.runtime.records import Record
from streams.settings import Settings
from tests.streams.runtime.engines.contract import EngineContract, Handle, until
from tests.streams.runtime.engines.victim import EngineName, engine_of


class KafkaCluster:
    """Topics and groups of one test on the shared broker."""

    def __init__(self, bootstrap: str, engine: EngineName) -> None:
        self.bootstrap = bootstrap
        self.run = uuid4().hex[:8]
        self.name: EngineName = engine
        self.producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 0, "log_level": 0})
        self.admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})
        self.topics: list[str] = []

    async def topic(self, partitions: int) -> str:
        name = f"engine-{self.run}-{len(self.topics)}"
        self.admin.create_topics([NewTopic(name, partitions, 1)])[name].result()
        self.topics.append(name)
        return name

    async def produce(self, topic: str, key: bytes | None, value: bytes | None) -> None:
        self.producer.produce(topic, key=key, value=value)
        self.producer.flush()

    def engine(self, group: str, topic: str, handle: Handle) -> Engine:
        engine = engine_of(self.name, self.bootstrap, max_events=64)
        engine.host(f"{self.run}-{group}", topic, handle)
        return engine

    @asynccontextmanager
    async def worker(
        self, group: str, topic: str, handle: Handle, *, member: int = 0, of: int = 1
    ) -> AsyncIterator[None]:
        del member, of  # the broker shares the partitions out
        engine = self.engine(group, topic, handle)
        stop, ready = asyncio.Event(), asyncio.Event()
        running = asyncio.create_task(engine.run(stop, on_ready=ready.set))
        waiting = asyncio.create_task(ready.wait())
        await asyncio.wait({running, waiting}, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        try:
            yield
        finally:
            stop.set()
            await running

    async def committed(self, group: str, topic: str) -> int:
        return await asyncio.to_thread(self._committed, f"{self.run}-{group}", topic)

    def _committed(self, group: str, topic: str) -> int:
        consumer = Consumer({"bootstrap.servers": self.bootstrap, "group.id": group})
        partitions = len(consumer.list_topics(topic).topics[topic].partitions)
        positions = consumer.committed([TopicPartition(topic, number) for number in range(partitions)], timeout=10)
        consumer.close()
        return sum(max(0, position.offset) for position in positions)

    def close(self) -> None:
        if self.topics:
            for deleted in self.admin.delete_topics(self.topics).values():
                deleted.result()


@asynccontextmanager
async def victim(cluster: KafkaCluster, group: str, topic: str, log: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """A worker process that does not outlive the test."""
    command = [sys.executable, "-m", "tests.streams.runtime.engines.victim"]
    process = await asyncio.create_subprocess_exec(
        *command, cluster.name, cluster.bootstrap, f"{cluster.run}-{group}", topic, str(log)
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def handled(log: Path) -> list[int]:
    """What victims have handled, by number, repeats included."""
    return [int(line.split()[1]) for line in log.read_text().splitlines()] if log.exists() else []


class KafkaEngineContract(EngineContract):
    """The contract of all engines, errors and crashes."""

    name: EngineName
    commit_s = 1.5

    @pytest.fixture
    def cluster(self, stack: Settings) -> Iterator[KafkaCluster]:
        cluster = KafkaCluster(stack.kafka_url, self.name)
        yield cluster
        cluster.close()

    async def test_a_fatal_error_stops_the_engine_and_leaves_the_record(self, cluster: KafkaCluster) -> None:
        topic = await cluster.topic(1)
        for number in range(3):
            await cluster.produce(topic, b"key", str(number).encode())

        async def dying(record: Record) -> None:
            if record.value == b"1":
                raise Fatal("transient-budget", "the index is down")

        with pytest.raises(Fatal, match="the index is down"):
            await cluster.engine("fatal", topic, dying).run(asyncio.Event(), on_ready=lambda: None)
        assert await cluster.committed("fatal", topic) == 1

    async def test_a_record_that_cannot_be_taken_in_stops_the_engine(
        self, cluster: KafkaCluster, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        topic = await cluster.topic(1)
        await cluster.produce(topic, b"key", b"1")

        def broken(_: object) -> Record:
            raise ValueError("what is this?")

        async def handle(_: Record) -> None:
            pass

        monkeypatch.setattr(f"streams.runtime.engines.{self.name}._record", broken)
        with pytest.raises(ValueError, match="what is this"):
            await cluster.engine("odd", topic, handle).run(asyncio.Event(), on_ready=lambda: None)
        assert await cluster.committed("odd", topic) == 0

    async def test_kill_9_midway_loses_nothing(self, cluster: KafkaCluster, tmp_path: Path) -> None:
        topic = await cluster.topic(4)
        log = tmp_path / "done"
        for number in range(600):
            cluster.producer.produce(topic, key=b"key%d" % (number % 41), value=str(number).encode())
        cluster.producer.flush()
        async with victim(cluster, "kill", topic, log):
            await until(lambda: len(handled(log)) > 150)
        assert len(set(handled(log))) < 600
        async with victim(cluster, "kill", topic, log):
            await until(lambda: len(set(handled(log))) == 600)
