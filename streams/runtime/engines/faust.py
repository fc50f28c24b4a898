"""The faust engine, driven the safe way: manual offsets, own lanes, own producer. See docs/adr/0002."""

import asyncio
import time
from collections.abc import Coroutine, Generator, Iterable, Mapping, Sequence

import faust
from faust.app.base import BootStrategy
from faust.tables.manager import TableManager
from faust.transport.drivers import aiokafka as driver
from faust.types import TP, AgentT, AppT, ChannelT, EventT, StreamT
from faust.types.core import HeadersArg
from mode.services import WaitArgT, WaitResults
from mode.threads import ServiceThread, WorkerThread
from mode.utils.times import Seconds

from streams.runtime.engines.hosting import Engine, Group, OnError
from streams.runtime.errors import Fatal
from streams.runtime.intake import AHEAD_BYTES, Intake
from streams.runtime.records import Record


class _Begun:
    """A coroutine that has run until it waits for something, or to its end; awaiting it runs the rest."""

    def __init__(self, coroutine: Coroutine[object, None, object]) -> None:
        self._coroutine = coroutine
        self._waits_for: object = None
        self.ended = False
        self._go_on(None)

    def __await__(self) -> Generator[object, None, None]:
        while not self.ended:
            try:
                yield self._waits_for
            except BaseException as error:  # not ours: what it waits for failed, or it is cancelled
                self._go_on(error)
            else:
                self._go_on(None)

    def _go_on(self, error: BaseException | None) -> None:
        try:
            self._waits_for = self._coroutine.send(None) if error is None else self._coroutine.throw(error)
        except StopIteration:
            self.ended = True


class _Daemon(WorkerThread):
    """A thread that keeps no process from ending: what it still waits for is a broker that does not answer."""

    def __init__(self, service: ServiceThread) -> None:
        super().__init__(service)
        self.daemon = True


class _Thread(driver.AIOKafkaConsumerThread):
    Worker = _Daemon


class _Consumer(driver.Consumer):
    """A consumer whose backpressure is a wait: faust would unsubscribe from a full partition and sleep a second."""

    def on_buffer_full(self, tp: TP) -> None:
        pass

    def _new_consumer_thread(self) -> driver.AIOKafkaConsumerThread:
        return _Thread(self, loop=self.loop, beacon=self.beacon)

    def silent_s(self, *, joined_at: float) -> float:
        """Since the loop of the thread that polls and sends heartbeats turned; faust sees to it every second.

        Before its first sign, a second after the start, since `joined_at`.
        """
        return time.monotonic() - max(self._thread.last_wakeup_at, joined_at)

    async def wait_first(self, *coros: WaitArgT, **options: Seconds) -> WaitResults:
        """The same, without a task where the first, which is a record's delivery, waits for nothing.

        Faust starts four tasks per record, so that a loop busy with work takes several turns to read one.
        """
        delivery, *others = coros
        if not asyncio.iscoroutine(delivery):
            return await super().wait_first(*coros, **options)
        begun = _Begun(delivery)
        if not begun.ended:
            return await super().wait_first(begun, *others, **options)
        for other in others:
            if asyncio.iscoroutine(other):
                other.close()
        return WaitResults([delivery], [None], stopped=False)

    async def seek_to_committed(self) -> Mapping[TP, int]:
        """Back to where the group stands: what was fetched during a rebalance has been thrown away.

        Faust does not move a partition of which nothing is committed, whose records would be lost.
        """
        committed = await super().seek_to_committed()
        if untouched := [partition for partition, position in committed.items() if not position]:
            await self._thread.seek_to_beginning(*untouched)
        return committed


class _Transport(driver.Transport):
    Consumer = _Consumer


class _Boot(BootStrategy):
    enable_kafka_producer = False
    """All output goes through our own producer."""


class _NoTables(TableManager):
    async def on_start(self) -> None:
        """Faust would sleep for a second first, so that tables can register."""
        await self._update_channels()
        await self.recovery.start()


class _App(faust.App):
    BootStrategy = _Boot

    fail: OnError

    def _create_directories(self) -> None:
        """Faust would make a folder for tables, of which there are none."""

    async def _on_agent_error(self, agent: AgentT[bytes], exc: BaseException) -> None:
        """Faust would go on behind the record that failed here, and commits would pass it by."""
        self.fail(exc)


SETTINGS: Mapping[str, object] = {
    "autodiscover": False,
    "broker_heartbeat_interval": 3.0,
    "broker_max_poll_records": 100,
    # A stage that waits for its backend does not poll; past this the group would think it dead.
    "broker_max_poll_interval": 3600.0,
    # How long partitions stay dark after a kill -9; faust's default is 60.
    "broker_session_timeout": 10.0,
    "consumer_auto_offset_reset": "earliest",
    "key_serializer": "raw",
    "store": "memory://",
    # Records wait in the intake, which counts their bytes; the default of 4096 counts none. In less than what faust
    # reads at once, a busy loop hands them over one buffer a turn.
    "stream_buffer_maxsize": 100,
    # With manual offsets there is nothing to wait for, and waiting would hang the shutdown behind one long call.
    "stream_wait_empty": False,
    "TableManager": _NoTables,
    "topic_allow_declare": False,
    "topic_disable_leader": True,
    "value_serializer": "raw",
    "web_enabled": False,
}


class _Group(Group):
    """One consumer group: a faust app, the intake behind it, and the commits that the intake allows."""

    def __init__(self, name: str, topic: str, intake: Intake, options: Mapping[str, object], on_error: OnError) -> None:
        super().__init__(name, intake)
        self.app = _App(name, config_source={**SETTINGS, **options})
        self.app.fail = on_error
        self.app.transport = _Transport(self.app.conf.broker_consumer, self.app)
        self.app.on_partitions_revoked.connect(self._on_revoked)  # type: ignore[arg-type]
        self.app.on_partitions_assigned.connect(self._on_assigned)  # type: ignore[arg-type]
        channel = self.app.topic(topic, key_type=bytes, value_type=bytes, acks=False)
        self.app.agent(channel, name=f"{name}-agent", concurrency=1)(self._consume)
        self.joined = asyncio.Event()
        self._joined_at = 0.0

    async def start(self) -> None:
        self.app.finalize()
        await self.app.start()
        await self.joined.wait()

    async def commit(self) -> None:
        if self.app.crashed:
            raise Fatal("broker-lost", f"the consumer of {self.name} crashed: {self.app.crash_reason!r}")
        due = self.intake.offsets.due(self.app.consumer_generation_id)
        positions = {TP(topic, partition): position for (topic, partition), position in due.items()}
        consumer = self.app.consumer
        assert isinstance(consumer, _Consumer)  # its abstract type does not know `_commit`
        if positions and await consumer._commit(positions):
            self.intake.offsets.committed(due)

    async def leave(self) -> None:
        try:
            if not self.app.crashed:
                await self.commit()
            await self.app.stop()
        except asyncio.CancelledError:
            # The broker does not answer. Of an agent that is not told, faust takes the end of the loop for a failure,
            # and starts it again, which no loop outlives.
            for agent in self.app.agents.values():
                agent._stopped.set()
            raise

    def silent_s(self) -> float:
        consumer = self.app.consumer if self.joined.is_set() else None
        return consumer.silent_s(joined_at=self._joined_at) if isinstance(consumer, _Consumer) else 0.0

    async def _consume(self, stream: StreamT[bytes]) -> None:
        assert isinstance(stream, faust.Stream)  # its abstract type does not know `noack`
        events = stream.noack()
        assert isinstance(events.channel, ChannelT)
        async for event in events.events():
            await self._take(event)
            # The stream gives one record a turn of the loop, however many are there.
            while not events.channel.queue.empty():
                await self._take(events.channel.queue.get_nowait())

    async def _take(self, event: EventT[bytes]) -> None:
        generation = event.message.generation_id
        assert generation is not None  # only a message that nobody read has none
        await self.intake.accept(_record(event), generation)

    async def _on_assigned(self, app: AppT, assigned: Iterable[TP], **_: object) -> None:
        self._joined_at = self._joined_at or time.monotonic()
        self.joined.set()

    async def _on_revoked(self, app: AppT, revoked: Iterable[TP], **_: object) -> None:
        if not self.app.crashed:
            await self.commit()
        for tp in revoked:
            self.intake.revoke((tp.topic, tp.partition))


class FaustEngine(Engine):
    """Reads topics by faust apps."""

    def __init__(
        self, options: Mapping[str, object], *, max_events: int, max_bytes: int, ahead_bytes: int = AHEAD_BYTES
    ) -> None:
        super().__init__(max_events=max_events, max_bytes=max_bytes, ahead_bytes=ahead_bytes)
        self._options = options

    def group(self, name: str, topic: str, intake: Intake, on_error: OnError) -> Group:
        return _Group(name, topic, intake, self._options, on_error)


def _record(event: EventT[bytes]) -> Record:
    message = event.message
    return Record(
        topic=message.topic,
        partition=message.partition,
        offset=message.offset,
        key=message.key,
        value=message.value,
        headers=_headers(message.headers),
        timestamp_ms=int((message.timestamp or 0) * 1000),
    )


def _headers(headers: HeadersArg) -> Sequence[tuple[str, bytes | None]]:
    return tuple(headers.items()) if isinstance(headers, Mapping) else tuple(headers or ())
