"""What becomes of a record, and of an error: the table of the architecture, row by row."""

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from datetime import datetime

from opentelemetry.trace import Span, Tracer

from processors.errors import Poison
from schemas import DocumentRejected, Event, IngestEvent, QueryEvent, QueryFailed, SchemaError, decode, encode
from streams.runtime.breaker import Breaker
from streams.runtime.clock import Clock
from streams.runtime.deadletters import MAX_DETAIL_CHARS, Letter, put_aside
from streams.runtime.errors import Fatal
from streams.runtime.headers import Incoming, deadline_of, history_of, outgoing, whose
from streams.runtime.interrupts import OVERLOADED, Interrupted
from streams.runtime.outbox import Journey, Outbox
from streams.runtime.records import Broker, Headers, Record
from streams.runtime.segments import Segment
from streams.runtime.traces import carried, conclude, describe, inside, parent, stage_span, trace_id
from streams.runtime.work import Work, settle
from streams.wiring import Stage

log = logging.getLogger("headwater.runtime")

CROWDED = "so many questions wait that this one would wait longer than is worth while: ask again a little later"


@dataclass(frozen=True, slots=True, kw_only=True)
class Handler:
    """Takes a record through a segment. Returning means that the record is finished, whatever became of it.

    Raises Fatal where the worker must stop and the record stay uncommitted.
    """

    segment: Segment
    prefix: str
    broker: Broker
    outbox: Outbox
    work: Work
    clock: Clock
    tracer: Tracer
    breaker: Breaker = field(default_factory=Breaker)

    async def __call__(self, record: Record) -> None:
        await self._begin(record, self._first)

    async def refuse(self, record: Record, *, retry_after_s: float) -> None:
        """Tell whoever asks, without any work, when asking again is worth while."""

        async def tell(event: Event, journey: Journey, wait_ms: float) -> None:
            stage = self.segment.stages[0]
            with self._span(stage, journey, wait_ms) as span:
                describe(span, event)
                journey.context = inside(span)
                try:
                    async with self.work.interrupts.guard(event):
                        raise Interrupted(OVERLOADED, CROWDED, retry_after_s=retry_after_s)
                except Interrupted as interrupt:
                    conclude(span, interrupt.code, interrupt.detail)
                    await self._tell(stage, event, journey, interrupt)

        await self._begin(record, tell)

    def deadline(self, record: Record) -> datetime | None:
        """Of the question that a record carries."""
        return deadline_of(record, self.segment.source)

    async def _first(self, event: Event, journey: Journey, wait_ms: float) -> None:
        await self._pass(0, event, journey, wait_ms)

    async def _begin(self, record: Record, go_on: Callable[[Event, Journey, float], Awaitable[None]]) -> None:
        headers = Incoming.of(record.headers)
        stage = self.segment.stages[0]
        since_ms = self.clock.now().timestamp() * 1000 - record.timestamp_ms
        wait_ms = max(0.0, since_ms) if record.timestamp_ms > 0 else 0.0
        journey = Journey(record, {**headers.timings, f"{stage.name}.wait": wait_ms}, parent(headers.trace))
        try:
            event = decode(record.value, headers.ce_type, stage.source.events)
        except SchemaError as error:
            with self._span(stage, journey, wait_ms) as span, self.breaker.trying(stage.name):
                conclude(span, "schema", str(error))
                await self._count_poison(stage, record, "schema")
                await self._put_aside(stage, None, journey, span, Poison("schema", str(error)))
            return
        await go_on(event, journey, wait_ms)

    async def _pass(self, depth: int, event: Event, journey: Journey, wait_ms: float | None) -> None:
        stage = self.segment.stages[depth]
        with self._span(stage, journey, wait_ms) as span:
            describe(span, event)
            with self.breaker.trying(stage.name):
                outputs = await self._stage(depth, event, journey, span)
        for index, output in enumerate(outputs):
            await self._pass(depth + 1, output, journey.onward(index, journey.timings, journey.context), None)

    async def _stage(self, depth: int, event: Event, journey: Journey, span: Span) -> Sequence[Event]:
        """What goes on to the next stage of the segment: nothing after the last one, or after a failure."""
        stage = self.segment.stages[depth]
        journey.context = inside(span)
        try:
            outputs = await self.work.run(stage, event, journey, last=depth == len(self.segment.stages) - 1)
            conclude(span, "done")
            self.breaker.works(stage.name)
            return outputs
        except Interrupted as interrupt:
            conclude(span, interrupt.code, interrupt.detail)
            await self._tell(stage, event, journey, interrupt)
        except (SchemaError, Poison) as error:
            reason = error if isinstance(error, Poison) else Poison("schema", str(error))
            conclude(span, reason.code, reason.detail)
            await self._count_poison(stage, journey.record, reason.code)
            await self._reject(stage, event, journey, span, reason)
        except Fatal as error:
            conclude(span, error.code, error.detail)
            raise
        except Exception as error:
            what = f"{type(error).__name__} in stage {stage.name}"
            log.exception("bug", extra=_where(stage, journey, span))
            conclude(span, "bug", what)  # what a library says may quote the document, and goes to its sender alone
            self.breaker.bug(stage.name, what)
            await self._reject(stage, event, journey, span, Poison("bug", f"{what}: {error}"))
        return ()

    async def _count_poison(self, stage: Stage, record: Record, code: str) -> None:
        """A question's counts for nothing: one asker can word, and sign, as many bad ones as it likes."""
        if not self.segment.answers:
            await self.breaker.poison(stage.name, whose(record).tenant, code)

    async def _reject(self, stage: Stage, event: Event, journey: Journey, span: Span, reason: Poison) -> None:
        await self._put_aside(stage, event, journey, span, reason)
        await self._tell(stage, event, journey, reason)

    async def _put_aside(self, stage: Stage, event: Event | None, journey: Journey, span: Span, reason: Poison) -> None:
        """Write the dead letter: the record as it was read, or the event as the stage before passed it by call."""
        record = journey.record
        key, value, headers = record.key, record.value, record.headers
        if event is not None and stage is not self.segment.stages[0]:
            key, value, headers = event.key.encode(), encode(event), self._afresh(stage, event, journey)
        letter = Letter(
            topic=self.prefix + stage.source.dead_letter_name,
            key=key,
            value=value,
            headers=headers,
            stage=stage.name,
            code=reason.code,
            detail=reason.detail,
            attempts=journey.attempts,
            source=record,
            time=self.clock.now(),
            trace=trace_id(span),
        )
        await put_aside(self.broker, letter)
        log.warning("dead letter", extra={**_where(stage, journey, span), "code": reason.code})

    def _afresh(self, stage: Stage, event: Event, journey: Journey) -> Headers:
        """The headers that the event would have had, had there been a topic between the two stages."""
        before = self.segment.stages[self.segment.stages.index(stage) - 1].name
        return outgoing(
            event,
            event_id=journey.event_id(before, journey.path.removesuffix(".")),
            source=f"/headwater/{before}",
            time=self.clock.now(),
            trace=carried(journey.context),
            timings=journey.timings,
            bulk=whose(journey.record).bulk,
            history=history_of(journey.record.headers),
        )

    async def _tell(self, stage: Stage, event: Event, journey: Journey, reason: Poison | Interrupted) -> None:
        """Tell the sender what became of the event."""
        failures = self.segment.pipeline.failures
        failure = _failure(stage, event, reason)
        try:
            sent = await self.outbox.send(failures, failure, event, stage=stage.name, journey=journey)
            await settle(sent, failures)
        except Poison as error:
            # Whoever asked cannot be told; the dead letter is what remains.
            log.warning("sender unreachable", extra={**_where(stage, journey), "code": error.code})

    def _span(self, stage: Stage, journey: Journey, wait_ms: float | None) -> AbstractContextManager[Span]:
        group = self.segment.group(self.prefix)
        return stage_span(self.tracer, stage.name, journey.record, journey.context, group=group, wait_ms=wait_ms)


def _failure(stage: Stage, event: Event, reason: Poison | Interrupted) -> DocumentRejected | QueryFailed:
    """What tells the sender of `event` why it cannot work."""
    said = reason.detail[:MAX_DETAIL_CHARS].encode(errors="replace").decode()
    if isinstance(event, IngestEvent):
        return DocumentRejected.of(event, stage=stage.name, code=reason.code, detail=said)
    if isinstance(event, QueryEvent):
        failed = QueryFailed.of(event, stage=stage.name, code=reason.code, detail=said)
        return replace(failed, retry_after_s=reason.retry_after_s) if isinstance(reason, Interrupted) else failed
    raise TypeError(f"{type(event).__name__} is itself what senders are told: no stage reads it")


def _where(stage: Stage, journey: Journey, span: Span | None = None) -> Mapping[str, object]:
    record = journey.record
    where = {"stage": stage.name, "topic": record.topic, "partition": record.partition, "offset": record.offset}
    return where if span is None else {**where, "trace_id": trace_id(span)}
