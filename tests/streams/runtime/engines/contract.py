"""What every engine promises. Each engine's tests inherit this class and say how to reach a cluster."""

import asyncio
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from streams.runtime.records import Record

Handle = Callable[[Record], Awaitable[None]]
PATIENCE_S = 60.0


class Cluster(Protocol):
    """Topics, and workers that read them."""

    async def topic(self, partitions: int) -> str:
        """The name of a new topic."""
        ...

    async def produce(self, topic: str, key: bytes | None, value: bytes | None) -> None: ...

    def worker(
        self, group: str, topic: str, handle: Handle, *, member: int = 0, of: int = 1
    ) -> AbstractAsyncContextManager[None]:
        """A member of a consumer group, from ready to drained; `of` members share the partitions."""
        ...

    async def committed(self, group: str, topic: str) -> int:
        """Records before the committed offsets, all partitions together."""
        ...


async def until(condition: Callable[[], bool]) -> None:
    """Wait for something that must happen."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        await asyncio.sleep(0.01)


class EngineContract:
    """Order per key, commit after the work, sharing."""

    async def test_records_of_a_key_are_handled_in_order_and_others_meanwhile(self, cluster: Cluster) -> None:
        topic = await cluster.topic(2)
        seen: dict[bytes | None, list[int]] = defaultdict(list)
        busy: set[bytes | None] = set()
        most = 0

        async def handle(record: Record) -> None:
            nonlocal most
            assert record.key not in busy
            busy.add(record.key)
            most = max(most, len(busy))
            await asyncio.sleep(0.001 * (hash(record.value) % 5))
            seen[record.key].append(int(record.value or b"-1"))
            busy.discard(record.key)

        for number in range(200):
            await cluster.produce(topic, b"key%d" % (number % 7), str(number).encode())
        async with cluster.worker("order", topic, handle):
            await until(lambda: sum(map(len, seen.values())) == 200)
        assert all(values == sorted(values) for values in seen.values())
        assert most > 1
        assert await cluster.committed("order", topic) == 200

    async def test_a_record_is_not_committed_before_its_handler_returns(self, cluster: Cluster) -> None:
        topic = await cluster.topic(1)
        done: list[bytes | None] = []
        let_go = asyncio.Event()

        async def handle(record: Record) -> None:
            if record.value == b"1":
                await let_go.wait()
            done.append(record.value)

        for number in range(4):
            await cluster.produce(topic, b"key%d" % number, str(number).encode())
        async with cluster.worker("commit", topic, handle):
            await until(lambda: len(done) == 3)
            await asyncio.sleep(self.commit_s)
            assert await cluster.committed("commit", topic) == 1
            let_go.set()
        assert await cluster.committed("commit", topic) == 4

    async def test_records_without_key_or_value_are_handled(self, cluster: Cluster) -> None:
        topic = await cluster.topic(1)
        seen: list[tuple[bytes | None, bytes | None]] = []

        async def handle(record: Record) -> None:
            seen.append((record.key, record.value))

        await cluster.produce(topic, None, b"value")
        await cluster.produce(topic, b"key", None)
        async with cluster.worker("bare", topic, handle):
            await until(lambda: len(seen) == 2)
        assert sorted(seen, key=str) == [(None, b"value"), (b"key", None)]

    async def test_two_workers_share_the_partitions(self, cluster: Cluster) -> None:
        topic = await cluster.topic(4)
        one: set[int] = set()
        two: set[int] = set()

        def handler(seen: set[int]) -> Handle:
            async def handle(record: Record) -> None:
                seen.add(int(record.value or b"-1"))

            return handle

        async with (
            cluster.worker("share", topic, handler(one), member=0, of=2),
            cluster.worker("share", topic, handler(two), member=1, of=2),
        ):
            for number in range(200):
                await cluster.produce(topic, b"key%d" % number, str(number).encode())
            await until(lambda: len(one | two) == 200)
        assert one
        assert two
        assert await cluster.committed("share", topic) == 200

    commit_s = 0.0
    """How long a commit may take to reach the broker."""
