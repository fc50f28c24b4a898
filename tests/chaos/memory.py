"""Both pipelines in memory, with the product's processors and runtime, dying at chosen points: the same every time."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import cached_property
from random import Random
from typing import Any

from opentelemetry.trace import NoOpTracer

from processors.ports import Embedder, Index
from schemas import ReplyTo, encode
from streams.pipelines import ingest, query
from streams.runtime.clock import SystemClock
from streams.runtime.engines.memory import Consumer, MemoryBroker, MemoryEngine
from streams.runtime.errors import Fatal
from streams.runtime.handler import Handler
from streams.runtime.headers import outgoing
from streams.runtime.interrupts import Cancelled, Interrupts
from streams.runtime.offsets import Partition
from streams.runtime.outbox import Outbox
from streams.runtime.records import Outgoing, Record
from streams.runtime.retry import Retry
from streams.runtime.segments import Segment, segments
from streams.runtime.work import Work
from streams.settings import Settings
from streams.topics import ANSWERS, DOCUMENTS, MAX_RECORD_BYTES, QUERIES, TOPICS
from tests.chaos.checker import Verdict, check
from tests.chaos.ledger import Asked, Entry
from tests.chaos.memory_index import MemoryIndex
from tests.chaos.observer import FOLLOWED, heard, shown
from tests.chaos.scenario import CHUNKING
from tests.chaos.worker import SimplePorts
from tests.chaos.workload import Step, Write, document_event, published, question, tenants
from tests.processors.hashed_words import HashedWords

MAX_LIVES = 50


class Points:
    """Counts the points that a process passes, and lets it die at some of them: there nothing goes on."""

    def __init__(self, deaths: Sequence[int] = ()) -> None:
        self.ahead = set(deaths)
        """Where it will die."""
        self.passed = 0
        self.deaths: list[str] = []
        """Where it died."""
        self.died = asyncio.Event()

    async def __call__(self, name: str) -> None:
        self.passed += 1
        if self.passed in self.ahead:
            self.deaths.append(name)
            self.died.set()
        if self.died.is_set():
            await asyncio.Event().wait()
        await asyncio.sleep(0)


class MortalBroker(MemoryBroker):
    """A broker whose clients may die before and after each of its effects."""

    point: Points

    async def send(self, record: Outgoing) -> Awaitable[None]:
        await self.point("before a record")
        delivery = await super().send(record)
        await self.point("after a record")
        return delivery


class MemoryPorts(SimplePorts):
    """The index of a run, and no time spent on embedding."""

    def __init__(self, settings: Settings, index: Index) -> None:
        super().__init__(settings)
        self._index = index

    @cached_property
    def index(self) -> Index:
        return self._index

    @cached_property
    def embedder(self) -> Embedder:
        return HashedWords()


class MemoryRun:
    """One workload through both pipelines; a process that dies is followed by another."""

    def __init__(
        self,
        steps: Sequence[Step],
        *,
        deaths: Sequence[int] = (),
        index: Callable[[Points], MemoryIndex] = MemoryIndex,
        broker: type[MortalBroker] = MortalBroker,
        engine: Callable[[MemoryBroker], MemoryEngine] = MemoryEngine,
        settings: Settings | None = None,
    ) -> None:
        self._settings = (settings or Settings()).model_copy(update={"chunking": CHUNKING})
        self._steps = steps
        self._engine = engine
        self._clock = SystemClock()
        self.points = Points(deaths)
        names = [name for topic in TOPICS for name in (topic.name, topic.dead_letter_name)]
        self.broker = broker(self._clock, dict.fromkeys(names, 4), max_record_bytes=MAX_RECORD_BYTES)
        self.broker.point = self.points
        self.index = index(self.points)
        self.entries: list[Entry] = []
        self.lives = 0

    async def run(self, *, redelivery: bool | None = None) -> Verdict:
        """The verdict; deaths count as faults that deliver records again unless `redelivery` says otherwise."""
        await self.publish(self._steps)
        return await self.rest(redelivery=redelivery)

    async def rest(self, *, redelivery: bool | None = None) -> Verdict:
        """Go on until everything is done, whatever was published and done before; the verdict on all of it."""
        while not await self.live():
            assert self.lives < MAX_LIVES, f"it dies again and again: {self.points.deaths}"
        self.points.ahead.clear()  # whoever looks at the index now does not die of it
        for topic in FOLLOWED:
            self.entries += [entry for record in self.broker.records(topic) if (entry := heard(record, ""))]
        seen = await shown(self.index, tenants(self._steps), HashedWords())
        return check(self.entries, seen, redelivery=bool(self.points.deaths) if redelivery is None else redelivery)

    async def publish(self, steps: Sequence[Step]) -> None:
        """Write some of the workload, and note it."""
        for number, step in enumerate(steps):
            if isinstance(step.what, Write):
                event = document_event(step.what)
                await self._write(DOCUMENTS.name, event, number)
                self.entries.append(published(step.what, event))
            else:
                asked = question(step.what, ReplyTo(topic=ANSWERS.name, partition=number % 4))
                await self._write(QUERIES.name, asked, number)
                self.entries.append(Asked(query=step.what.query))

    async def _write(self, topic: str, event: Any, number: int) -> None:
        headers = outgoing(event, event_id=str(number), source="/test", time=self._clock.now())
        record = Outgoing(topic=topic, key=event.key.encode(), value=encode(event), headers=headers)
        await (await MemoryBroker.send(self.broker, record))

    async def live(self) -> bool:
        """One process, from start to its death or until everything is done; whether it is."""
        self.lives += 1
        self.points.died.clear()
        engine = self._engine(self.broker)
        for segment in self._segments():
            engine.host(segment.group(""), segment.source.name, self._handler(segment))
        running = asyncio.create_task(engine.run())
        dying = asyncio.create_task(self.points.died.wait())
        await asyncio.wait({running, dying}, return_when=asyncio.FIRST_COMPLETED)
        over = running.done() and not running.cancelled() and not isinstance(running.exception(), Fatal)
        for task in (running, dying):
            task.cancel()
        await asyncio.gather(running, dying, return_exceptions=True)
        await engine.stop()
        return over

    def _segments(self) -> Sequence[Segment]:
        settings, ports = self._settings, self.ports()
        return (
            *segments(ingest(ports, settings), settings.ingest_segments),
            *segments(query(ports, settings), settings.query_segments),
        )

    def ports(self) -> MemoryPorts:
        """Those of one process."""
        return MemoryPorts(self._settings, self.index)

    def _handler(self, segment: Segment) -> Handler:
        outbox = Outbox(self.broker, prefix="", clock=self._clock, max_record_bytes=MAX_RECORD_BYTES)
        interrupts = Interrupts(self._clock, Cancelled(self._clock))
        return Handler(
            segment=segment,
            prefix="",
            broker=self.broker,
            outbox=outbox,
            work=Work(outbox=outbox, interrupts=interrupts, retry=Retry(), clock=self._clock),
            clock=self._clock,
            tracer=NoOpTracer(),
        )


class Rebalancing(MemoryEngine):
    """An engine that loses each partition now and then, and gets it back while records of before are on their way."""

    def __init__(self, broker: MemoryBroker, random: Random) -> None:
        super().__init__(broker)
        self._random = random

    def _consumer(self, broker: MemoryBroker, group: str, partitions: Sequence[Partition]) -> "_Rebalanced":
        return _Rebalanced(broker, group, partitions, self._random)


class _Rebalanced(Consumer):
    def __init__(self, broker: MemoryBroker, group: str, partitions: Sequence[Partition], random: Random) -> None:
        super().__init__(broker, group, partitions)
        self._random = random
        self._generations = dict.fromkeys(partitions, 1)

    async def read(self) -> bool:
        moved = False
        for partition, log in self._logs.items():
            while self._next[partition] < len(log):
                moved = True
                late = self._generations[partition]
                batch = log[self._next[partition] : self._next[partition] + 4]
                self._next[partition] += len(batch)
                arrived = self._random.randint(0, len(batch))
                await self._take(batch[:arrived], late)
                if arrived < len(batch):
                    self._lose(partition)
                    # The first record of the new assignment, and only then what is left of the former one.
                    first = self._next[partition]
                    self._next[partition] += 1
                    await self._take(log[first : first + 1], self._generations[partition])
                await self._take(batch[arrived:], late)
        return moved

    async def _take(self, records: Sequence[Record], generation: int) -> None:
        for record in records:
            await self.intake.accept(record, generation)
            await asyncio.sleep(0)  # so that some of it is begun, and some is done

    def commit(self) -> None:
        for generation in set(self._generations.values()):
            due = self.intake.offsets.due(generation)
            own = {each: at for each, at in due.items() if self._generations[each] == generation}
            self._commits.update(own)
            self.intake.offsets.committed(own)

    def _lose(self, partition: Partition) -> None:
        self.commit()
        self.intake.offsets.revoke(partition)
        self._generations[partition] += 1
        self._next[partition] = self._commits.get(partition, 0)
