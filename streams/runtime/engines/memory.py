"""The memory engine: the same table on topics in memory, for tests that want no broker and no waiting."""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Mapping, Sequence
from zlib import crc32

from processors.errors import Poison
from streams.runtime.clock import Clock
from streams.runtime.crowd import Crowd
from streams.runtime.intake import Handle, Intake
from streams.runtime.offsets import Partition
from streams.runtime.records import Outgoing, Record

GENERATION = 1
"""Nobody else joins a group in memory, so there is one assignment for good."""


class MemoryBroker:
    """Topics, partitions and committed offsets, kept in memory. A `Broker` that acknowledges at once."""

    def __init__(self, clock: Clock, topics: Mapping[str, int], *, max_record_bytes: int = 4 * 1024 * 1024) -> None:
        self._clock = clock
        self._max_record_bytes = max_record_bytes
        self.logs: dict[str, list[list[Record]]] = {
            topic: [[] for _ in range(partitions)] for topic, partitions in topics.items()
        }
        self.commits: dict[str, dict[Partition, int]] = defaultdict(dict)
        """Consumer group to the next offset of each partition."""
        self.broken: set[str] = set()
        """Topics that refuse every write, for tests of what happens then."""
        self.limits: dict[str, int] = {}
        """Topics whose largest value is not `max_record_bytes`."""

    async def send(self, record: Outgoing) -> Awaitable[None]:
        delivery: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        try:
            self._append(record)
        except (Poison, ConnectionError) as error:
            delivery.set_exception(error)
            delivery.exception()
        else:
            delivery.set_result(None)
        return delivery

    async def reaches(self, topic: str, partition: int) -> bool:
        return partition < len(self.logs.get(topic, ()))

    def records(self, topic: str) -> Sequence[Record]:
        """All records of a topic, by partition and offset."""
        return [record for log in self.logs[topic] for record in log]

    def _append(self, record: Outgoing) -> None:
        if record.topic in self.broken:
            raise ConnectionError(f"{record.topic!r} was not written: it is broken")
        logs = self.logs.get(record.topic, [])
        partition = crc32(record.key or b"") % max(1, len(logs)) if record.partition is None else record.partition
        if partition >= len(logs):
            raise Poison("unknown-partition", f"topic {record.topic!r} partition {partition} does not exist")
        if len(record.value or b"") > self.limits.get(record.topic, self._max_record_bytes):
            raise Poison("record-too-large", f"{len(record.value or b'')} bytes for {record.topic!r}")
        logs[partition].append(
            Record(
                topic=record.topic,
                partition=partition,
                offset=len(logs[partition]),
                key=record.key,
                value=record.value,
                headers=tuple(record.headers),
                timestamp_ms=int(self._clock.now().timestamp() * 1000),
            )
        )


class Consumer:
    """One group's view of the partitions that it reads."""

    intake: Intake

    def __init__(self, broker: MemoryBroker, group: str, partitions: Sequence[Partition]) -> None:
        self._logs = {partition: broker.logs[partition[0]][partition[1]] for partition in partitions}
        self._commits = broker.commits[group]
        self._next = {partition: self._commits.get(partition, 0) for partition in partitions}

    async def read(self) -> bool:
        """Take in everything that is new, one record of each partition in turn; whether there was anything."""
        moved = False
        while True:
            ready = [partition for partition, log in self._logs.items() if self._next[partition] < len(log)]
            if not ready:
                return moved
            for partition in ready:
                record = self._logs[partition][self._next[partition]]
                self._next[partition] += 1
                await self.intake.accept(record, GENERATION)
                moved = True

    def commit(self) -> None:
        due = self.intake.offsets.due(GENERATION)
        self._commits.update(due)
        self.intake.offsets.committed(due)


class MemoryEngine:
    """Runs handlers, each its own consumer group, until every record is finished."""

    def __init__(self, broker: MemoryBroker, *, max_events: int = 64, max_bytes: int = 32 * 1024 * 1024) -> None:
        self._broker = broker
        self._max_events = max_events
        self._max_bytes = max_bytes
        self._consumers: list[Consumer] = []

    def host(
        self,
        group: str,
        topic: str,
        handle: Handle,
        *,
        partitions: Sequence[int] | None = None,
        crowd: Crowd | None = None,
    ) -> Intake:
        """Consume `topic` (or some of its partitions) in `group`, from what the group has committed."""
        chosen = range(len(self._broker.logs[topic])) if partitions is None else partitions
        consumer = self._consumer(self._broker, group, [(topic, partition) for partition in chosen])
        consumer.intake = Intake(
            handle,
            max_events=self._max_events,
            max_bytes=self._max_bytes,
            on_error=self._fail,
            on_finish=consumer.commit,
            crowd=crowd,
        )
        self._consumers.append(consumer)
        return consumer.intake

    async def run(self) -> None:
        """Return when all topics are read and all records finished and committed. Raises what a handler raised."""
        self._error: BaseException | None = None
        while True:
            moved = [await consumer.read() for consumer in self._consumers]
            for consumer in self._consumers:
                await consumer.intake.drain()
            if self._error is not None:
                raise self._error
            if not any(moved):
                return

    def _consumer(self, broker: MemoryBroker, group: str, partitions: Sequence[Partition]) -> Consumer:
        return Consumer(broker, group, partitions)

    async def stop(self) -> None:
        """Give up what is in hand, as a killed worker would."""
        for consumer in self._consumers:
            await consumer.intake.cancel()

    def _fail(self, error: BaseException) -> None:
        self._error = self._error or error
