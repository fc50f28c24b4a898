"""The outbox: events become records with fresh headers, on a topic or at a caller's reply address."""

import dataclasses
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass

from opentelemetry.context import Context

from processors.errors import Poison
from schemas import (
    AnswerCompleted,
    AnswerRefused,
    DocumentErased,
    DocumentIndexed,
    DocumentRejected,
    DocumentUnchanged,
    Event,
    QueryAsked,
    QueryFailed,
    encode,
)
from streams.runtime.clock import Clock
from streams.runtime.headers import history_of, outgoing, whose
from streams.runtime.interrupts import query_of
from streams.runtime.records import Broker, Outgoing, Record
from streams.runtime.traces import carried
from streams.wiring import Topic

Timed = (
    DocumentIndexed
    | DocumentUnchanged
    | DocumentErased
    | DocumentRejected
    | AnswerCompleted
    | AnswerRefused
    | QueryFailed
)
"""Events with a place for the times of the stages."""


@dataclass(slots=True)
class Journey:
    """What is known about an event on its way through a segment."""

    record: Record
    """The record that it came from."""
    timings: Mapping[str, float]
    """Milliseconds per stage passed so far."""
    context: Context
    """Whose child the next span is."""
    path: str = ""
    """Which of the events that the stages before made of the record: `3.` for the fourth."""
    attempts: int = 1
    """Of the current stage, the one under way included."""
    written: int = 0
    """Events that the current stage has written."""

    def onward(self, index: int, timings: Mapping[str, float], context: Context) -> "Journey":
        """The journey of the event that the current stage made as its `index`-th."""
        return Journey(self.record, timings, context, f"{self.path}{index}.")

    def event_id(self, stage: str, path: str) -> str:
        """The same when a redelivered record is processed again, so that readers can tell a repetition."""
        record = self.record
        return f"{record.topic}/{record.partition}/{record.offset}/{stage}/{path}"


class Outbox:
    """Writes what the stages of one segment say."""

    def __init__(self, broker: Broker, *, prefix: str, clock: Clock, max_record_bytes: int) -> None:
        self._broker = broker
        self._prefix = prefix
        self._clock = clock
        self._max_record_bytes = max_record_bytes

    async def send(
        self, sink: Topic[Event], event: Event, cause: Event, *, stage: str, journey: Journey
    ) -> Awaitable[None]:
        """Queue `event`, which `stage` made of `cause`; what comes back is done once the broker has it.

        Raises SchemaError and Poison `record-too-large`; what comes back raises as `Broker.send` says.
        """
        event = timed(event, journey.timings)
        value = encode(event)
        if len(value) > self._max_record_bytes:
            raise Poison(
                "record-too-large",
                f"{event.ce_type} of {event.key!r} has {len(value)} bytes, the broker takes {self._max_record_bytes}: "
                "publish a smaller document",
            )
        topic, partition = self._address(sink, cause)
        headers = outgoing(
            event,
            event_id=journey.event_id(stage, f"{journey.path}{journey.written}"),
            source=f"/headwater/{stage}",
            time=self._clock.now(),
            trace=carried(journey.context),
            timings=journey.timings,
            bulk=whose(journey.record).bulk,
            history=history_of(journey.record.headers),
        )
        journey.written += 1
        return await self._broker.send(
            Outgoing(topic=topic, partition=partition, key=event.key.encode(), value=value, headers=headers)
        )

    async def reachable(self, query: QueryAsked) -> None:
        """Raises Poison `reply-unreachable` where the caller's address does not exist."""
        to = query.reply_to
        if not await self._broker.reaches(to.topic, to.partition):
            raise Poison(
                "reply-unreachable",
                f"reply_to names topic {to.topic!r} partition {to.partition}, which does not exist: "
                "create it before asking",
            )

    def _address(self, sink: Topic[Event], cause: Event) -> tuple[str, int | None]:
        if not sink.replies:
            return self._prefix + sink.name, None
        query = query_of(cause)
        if query is None:
            raise TypeError(f"{type(cause).__name__} belongs to no question, so there is nobody to reply to")
        return query.reply_to.topic, query.reply_to.partition


def timed(event: Event, timings: Mapping[str, float]) -> Event:
    """The event with the stages' times, where it has a place for them."""
    if not isinstance(event, Timed):
        return event
    return dataclasses.replace(event, timings={name: round(value, 3) for name, value in timings.items()})
