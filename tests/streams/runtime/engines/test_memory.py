"""The memory engine keeps the promises of every engine."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from itertools import count

import pytest

from streams.runtime.clock import SystemClock
from streams.runtime.engines.memory import MemoryBroker, MemoryEngine
from streams.runtime.records import Outgoing, Record
from tests.streams.runtime.engines.contract import EngineContract, Handle


class MemoryCluster:
    def __init__(self) -> None:
        self.broker = MemoryBroker(SystemClock(), {})
        self._names: Iterator[int] = count()

    async def topic(self, partitions: int) -> str:
        name = f"topic{next(self._names)}"
        self.broker.logs[name] = [[] for _ in range(partitions)]
        return name

    async def produce(self, topic: str, key: bytes | None, value: bytes | None) -> None:
        await (await self.broker.send(Outgoing(topic=topic, key=key, value=value, headers=())))

    @asynccontextmanager
    async def worker(
        self, group: str, topic: str, handle: Handle, *, member: int = 0, of: int = 1
    ) -> AsyncIterator[None]:
        engine = MemoryEngine(self.broker)
        partitions = [number for number in range(len(self.broker.logs[topic])) if number % of == member]
        engine.host(group, topic, handle, partitions=partitions)
        stopping = asyncio.Event()

        async def run() -> None:
            while not stopping.is_set():
                await engine.run()
                await asyncio.sleep(0)
            await engine.run()

        running = asyncio.create_task(run())
        yield
        stopping.set()
        await running

    async def committed(self, group: str, topic: str) -> int:
        return sum(self.broker.commits[group].values())


@pytest.fixture
def cluster() -> MemoryCluster:
    return MemoryCluster()


class TestMemoryEngine(EngineContract):
    """The contract, and what a crash looks like in memory."""

    async def test_a_worker_that_dies_midway_loses_nothing(self, cluster: MemoryCluster) -> None:
        topic = await cluster.topic(2)
        for number in range(50):
            await cluster.produce(topic, b"key%d" % number, str(number).encode())
        done: list[int] = []

        async def dying(record: Record) -> None:
            if len(done) == 20:
                raise RuntimeError("killed")
            done.append(int(record.value or b"-1"))

        first = MemoryEngine(cluster.broker)
        first.host("g", topic, dying)
        with pytest.raises(RuntimeError, match="killed"):
            await first.run()

        async def living(record: Record) -> None:
            done.append(int(record.value or b"-1"))

        second = MemoryEngine(cluster.broker)
        second.host("g", topic, living)
        await second.run()
        assert set(done) == set(range(50))
