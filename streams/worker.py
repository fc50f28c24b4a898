"""The worker: hosts stages of the pipelines until told to stop."""

import asyncio
import logging
import signal
from collections.abc import Awaitable, Sequence
from contextlib import AsyncExitStack
from typing import TypeVar

from opentelemetry.trace import Tracer

from processors.errors import Poison
from processors.upsert import Upsert
from schemas import SchemaError, decode
from streams.composition import Backends
from streams.engines import engine_of
from streams.health import Health, listening
from streams.opening import ConfigError, Opening, ports_of
from streams.pipelines import Ports, ingest, query
from streams.runtime.breaker import Breaker
from streams.runtime.clock import SystemClock
from streams.runtime.crowd import Crowd
from streams.runtime.errors import Fatal
from streams.runtime.handler import Handler
from streams.runtime.headers import Incoming
from streams.runtime.intake import Intake
from streams.runtime.interrupts import Cancelled, Interrupts
from streams.runtime.outbox import Outbox
from streams.runtime.producer import KafkaBroker
from streams.runtime.records import Record
from streams.runtime.retry import Retry
from streams.runtime.segments import Segment, hosted, segments
from streams.runtime.work import Work
from streams.settings import Settings
from streams.sweeping import keep_sweeping
from streams.topics import CANCELLATIONS, MAX_PRODUCED_BYTES, MAX_RECORD_BYTES
from streams.traced import TracedPorts
from streams.truncation import Truncations

log = logging.getLogger("headwater.worker")

T = TypeVar("T")


class Worker:
    """Stages, the ports that they need, and an engine underneath."""

    def __init__(
        self, settings: Settings, stages: Sequence[str], *, tracer: Tracer, ports: Ports | None = None
    ) -> None:
        """Raises ConfigError. Without I/O: `run` does that."""
        self._settings = settings
        self._tracer = tracer
        self._clock = SystemClock()
        self._retry = Retry()
        self._cancelled = Cancelled(self._clock)
        self._questions: list[Intake] = []
        self._joined = False
        self._broker = KafkaBroker(settings.kafka_config, max_record_bytes=MAX_PRODUCED_BYTES)
        try:
            self._ports = TracedPorts(ports or Backends(settings), tracer, content=settings.trace_content)
            self._segments = _hosted(settings, stages, self._ports)
            self._engine = engine_of(settings, groups=len(self._segments))
        except ValueError as error:
            raise ConfigError(str(error)) from error
        except Poison as error:
            raise ConfigError(error.detail) from error

    async def run(self, stop: asyncio.Event) -> None:
        """Host the stages until `stop` is set. Raises ConfigError and Fatal."""
        async with AsyncExitStack() as resources:
            await self._listen(resources, stop)
            opening = Opening(self._settings, self._segments, self._ports, self._broker, self._retry, self._clock)
            if await _unless(stop, opening.open(resources, cancel=self._cancel)) is None:
                return
            self._host()
            await self._consume(stop)

    async def _listen(self, resources: AsyncExitStack, stop: asyncio.Event) -> None:
        """Before anything that may have to be waited for."""
        health = Health(ready=lambda: self._joined and not stop.is_set(), hung=self._engine.hung)
        port = self._settings.health_port
        try:
            if port:
                await resources.enter_async_context(listening(port, health))
        except OSError as error:
            raise ConfigError(f"the setting 'health_port' is {port}, which cannot be had: {error.strerror}") from error

    def _host(self) -> None:
        try:
            for segment in self._segments:
                topic, handler = self._settings.topic_prefix + segment.source.name, self._handler(segment)
                crowd = Crowd(handler, self._settings.max_waiting, self._clock) if segment.answers else None
                intake = self._engine.host(segment.group(self._settings.topic_prefix), topic, handler, crowd=crowd)
                if segment.answers:
                    self._questions.append(intake)
        except ValueError as error:
            raise ConfigError(str(error)) from error

    async def _consume(self, stop: asyncio.Event) -> None:
        truncations = Truncations(ports_of(self._segments))
        upserts = [stage.processor for segment in self._segments for stage in segment.stages if stage.name == "upsert"]
        sweeps = [keep_sweeping(upsert.index) for upsert in upserts if isinstance(upsert, Upsert)]
        chores = [asyncio.create_task(chore) for chore in (truncations.keep_telling(), *sweeps)]
        try:
            consuming = asyncio.create_task(
                self._engine.run(stop, on_ready=self._ready, grace_s=self._settings.grace_s)
            )
            done, _ = await asyncio.wait({consuming, *chores}, return_when=asyncio.FIRST_COMPLETED)
            if consuming not in done:
                stop.set()
            await consuming
            for task in done:
                task.result()
        finally:
            truncations.tell()
            for chore in chores:
                chore.cancel()
            # What they use must not be closed while they still unwind.
            await asyncio.gather(*chores, return_exceptions=True)

    def _handler(self, segment: Segment) -> Handler:
        prefix = self._settings.topic_prefix
        outbox = Outbox(self._broker, prefix=prefix, clock=self._clock, max_record_bytes=MAX_RECORD_BYTES)
        work = Work(
            outbox=outbox, interrupts=Interrupts(self._clock, self._cancelled), retry=self._retry, clock=self._clock
        )
        return Handler(
            segment=segment,
            prefix=prefix,
            broker=self._broker,
            outbox=outbox,
            work=work,
            clock=self._clock,
            tracer=self._tracer,
            breaker=Breaker(stops_at_poison=self._settings.stop_at_poison),
        )

    def _cancel(self, records: Sequence[Record]) -> None:
        for record in records:
            try:
                event = decode(record.value, Incoming.of(record.headers).ce_type, CANCELLATIONS.events)
            except SchemaError as error:
                log.warning("unreadable cancellation", extra={"offset": record.offset, "reason": str(error)})
            else:
                self._cancelled.add(event.query_id)
                for intake in self._questions:
                    intake.hurry(event.query_id.encode())

    def _ready(self) -> None:
        self._joined = True
        stages = [stage.name for segment in self._segments for stage in segment.stages]
        log.info("worker ready", extra={"stages": stages})


def _hosted(settings: Settings, stages: Sequence[str], ports: Ports) -> tuple[Segment, ...]:
    return hosted(
        [
            *segments(ingest(ports, settings), settings.ingest_segments),
            *segments(query(ports, settings), settings.query_segments),
        ],
        stages,
    )


async def _unless(stop: asyncio.Event, work: Awaitable[T]) -> T | None:
    """The result of `work`, or none where `stop` was set first."""
    working = asyncio.ensure_future(work)
    stopping = asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
        return await working if working.done() else None
    finally:
        stopping.cancel()
        working.cancel()
        # What it holds must not be closed while it still unwinds.
        await asyncio.gather(stopping, working, return_exceptions=True)


async def serve(settings: Settings, stages: Sequence[str], *, tracer: Tracer, ports: Ports | None = None) -> int:
    """Run a worker in this process until SIGTERM or SIGINT; the exit code: 0 clean, 1 fatal, 2 wrong settings."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, stop.set)
    try:
        await Worker(settings, stages, tracer=tracer, ports=ports).run(stop)
    except ConfigError as error:
        log.error("wrong settings", extra={"reason": str(error)})
        return 2
    except Fatal as error:
        log.critical("worker stops", extra={"code": error.code, "reason": error.detail})
        return 1
    log.info("worker stopped")
    return 0
