"""What engines promise on a real broker, beyond the contract of all engines."""

import asyncio
import functools
import signal
import sys
import threading
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from streams.runtime.engines import hosting
from streams.runtime.engines.hosting import Engine
from streams.runtime.errors import Fatal
from streams.runtime.records import Record
from streams.settings import EngineName, Settings
from tests.streams.runtime.engines.contract import PATIENCE_S, EngineContract, Handle, until
from tests.streams.runtime.engines.victim import SESSION_S, engine_of


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

    async def fill(self, topic: str, count: int, *, keys: int, size_bytes: int = 0, start: int = 0) -> None:
        """Numbered records under so many keys, padded to a size."""
        for number in range(start, start + count):
            self.producer.produce(topic, key=b"key%d" % (number % keys), value=b"%d" % number + b" " * size_bytes)
        self.producer.flush()

    async def renew(self, topic: str) -> None:
        """Delete the topic, and make another of its name."""
        self.admin.delete_topics([topic])[topic].result()
        async with asyncio.timeout(PATIENCE_S):
            while self.admin.create_topics([NewTopic(topic, 1, 1)])[topic].exception():  # noqa: ASYNC110 (it tells nobody)
                await asyncio.sleep(0.01)

    def engine(self, group: str, topic: str, handle: Handle) -> Engine:
        engine = engine_of(self.name, self.bootstrap, max_events=64)
        engine.host(f"{self.run}-{group}", topic, handle)
        return engine

    @asynccontextmanager
    async def worker(
        self, group: str, topic: str, handle: Handle, *, member: int = 0, of: int = 1
    ) -> AsyncIterator[None]:
        del member, of  # the broker shares the partitions out
        async with running(self.engine(group, topic, handle)):
            yield

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
async def running(engine: Engine) -> AsyncIterator[None]:
    """The engine at work, from ready to drained."""
    stop, ready = asyncio.Event(), asyncio.Event()
    run = asyncio.create_task(engine.run(stop, on_ready=ready.set))
    waiting = asyncio.create_task(ready.wait())
    await asyncio.wait({run, waiting}, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    try:
        yield
    finally:
        stop.set()
        await run


class Victim:
    """A worker process that does not outlive the test, and what it wrote down."""

    def __init__(self, process: asyncio.subprocess.Process, log: Path) -> None:
        self.process = process
        self._log = log

    def began(self) -> list[int]:
        """Numbers of the records whose handling began, repeats included; of earlier victims, too."""
        return self._said("began")

    def handled(self) -> list[int]:
        return self._said("handled")

    def _said(self, what: str) -> list[int]:
        lines = self._log.read_text().splitlines() if self._log.exists() else []
        return [int(number) for verb, number in map(str.split, lines) if verb == what]


@asynccontextmanager
async def victim(cluster: KafkaCluster, topic: str, log: Path, *, work_s: float = 0.01) -> AsyncIterator[Victim]:
    """A member of the group `victims`, which is killed in the end if it still lives."""
    command = [sys.executable, "-m", "tests.streams.runtime.engines.victim"]
    group = f"{cluster.run}-victims"
    arguments = [cluster.name, cluster.bootstrap, group, topic, str(log), str(work_s)]
    process = await asyncio.create_subprocess_exec(*command, *arguments)
    try:
        yield Victim(process, log)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


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

    async def test_a_reader_that_hangs_is_named_until_it_comes_round_again(
        self, cluster: KafkaCluster, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def handle(_: Record) -> None:
            pass

        monkeypatch.setattr(hosting, "HUNG_S", 3.0)
        let_go = threading.Event()
        engine = cluster.engine("hung", await cluster.topic(1), handle)
        async with running(engine):
            await until(lambda: not engine.hung())
            try:
                self.hang(engine, let_go)
                await until(lambda: engine.hung() == [f"{cluster.run}-hung"])
            finally:
                let_go.set()
            await until(lambda: not engine.hung())

    def hang(self, engine: Engine, let_go: threading.Event) -> None:
        """Stop the thread that reads for the engine's only group, until it is let go."""
        raise NotImplementedError

    async def test_kill_9_midway_loses_nothing(self, cluster: KafkaCluster, tmp_path: Path) -> None:
        topic = await cluster.topic(4)
        await cluster.fill(topic, 600, keys=41)
        async with victim(cluster, topic, tmp_path / "log") as first:
            await until(lambda: len(first.handled()) > 150)
        assert len(set(first.handled())) < 600
        async with victim(cluster, topic, tmp_path / "log") as second:
            await until(lambda: len(set(second.handled())) == 600)

    async def test_sigterm_finishes_and_commits_what_was_begun(self, cluster: KafkaCluster, tmp_path: Path) -> None:
        topic = await cluster.topic(1)
        await cluster.fill(topic, 600, keys=41)
        async with victim(cluster, topic, tmp_path / "log") as worker:
            await until(lambda: len(worker.handled()) > 150)
            worker.process.terminate()
            assert await worker.process.wait() == 0
        assert sorted(worker.handled()) == sorted(worker.began())
        assert await cluster.committed("victims", topic) == len(worker.handled()) < 600

    async def test_what_a_zombie_finishes_is_not_committed(self, cluster: KafkaCluster, tmp_path: Path) -> None:
        topic = await cluster.topic(1)
        await cluster.fill(topic, 16, keys=16)
        let_go = asyncio.Event()

        async def handle(record: Record) -> None:
            if record.value == b"5":
                await let_go.wait()

        async with victim(cluster, topic, tmp_path / "log", work_s=4) as zombie:
            await until(lambda: len(zombie.began()) == 16)
            zombie.process.send_signal(signal.SIGSTOP)
            async with cluster.worker("victims", topic, handle):
                await until_committed(cluster, "victims", topic, 5)
                zombie.process.send_signal(signal.SIGCONT)
                await until(lambda: len(zombie.handled()) == 16)
                for _ in range(10):
                    assert await cluster.committed("victims", topic) == 5
                    await asyncio.sleep(0.2)
                let_go.set()
                await until_committed(cluster, "victims", topic, 16)

    async def test_work_longer_than_a_session_costs_no_membership(self, cluster: KafkaCluster) -> None:
        """Nor does a window that stays full as long; what waits behind it comes in order, and once."""
        topic = await cluster.topic(2)
        await cluster.fill(topic, 400, keys=7, size_bytes=200_000)
        seen: dict[bytes | None, list[int]] = defaultdict(list)
        let_go = asyncio.Event()

        async def handle(record: Record) -> None:
            await let_go.wait()
            seen[record.key].append(number_of(record))

        async with cluster.worker("slow", topic, handle):
            await asyncio.sleep(SESSION_S + 2)
            let_go.set()
            await until(lambda: sum(map(len, seen.values())) >= 400)
        assert sorted(number for numbers in seen.values() for number in numbers) == list(range(400))
        assert all(numbers == sorted(numbers) for numbers in seen.values())
        assert await cluster.committed("slow", topic) == 400

    async def test_members_that_come_and_go_repeat_what_was_in_flight_and_keep_the_order(
        self, cluster: KafkaCluster
    ) -> None:
        topic = await cluster.topic(4)
        seen: dict[bytes | None, list[int]] = defaultdict(list)

        async def handle(record: Record) -> None:
            await asyncio.sleep(0.005)
            seen[record.key].append(number_of(record))

        def handled() -> int:
            return sum(map(len, seen.values()))

        def has_handled(count: int) -> bool:
            return handled() > count

        await cluster.fill(topic, 2000, keys=97)
        async with cluster.worker("moving", topic, handle):
            for published in (2000, 4000):
                async with cluster.worker("moving", topic, handle):
                    # Only now, so that there is work to take along, however long it took to join.
                    await cluster.fill(topic, 2000, keys=97, start=published)
                    await until(functools.partial(has_handled, published + 300))
            await until(lambda: len({number for numbers in seen.values() for number in numbers}) == 6000)
        repeated = handled() - 6000
        assert repeated <= 4 * 64, "two came and two left, each with at most a window in flight"
        for numbers in seen.values():
            first_times = list(dict.fromkeys(numbers))
            assert first_times == sorted(first_times)
        assert await cluster.committed("moving", topic) == 6000


async def until_committed(cluster: KafkaCluster, group: str, topic: str, count: int) -> None:
    """Wait for a commit that must come."""
    deadline = time.monotonic() + PATIENCE_S
    while await cluster.committed(group, topic) < count:
        assert time.monotonic() < deadline, "it was not committed"
        await asyncio.sleep(0.1)


def number_of(record: Record) -> int:
    """What `fill` counted."""
    return int((record.value or b"-1").strip())
