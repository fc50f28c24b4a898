"""Send events as a producer or caller does: checked, with headers, the start of a trace, acknowledged."""

import uuid
from datetime import UTC, datetime

from opentelemetry.context import Context
from opentelemetry.trace import SpanKind, Tracer

from processors.errors import Poison
from schemas import Event, decode, encode
from streams.runtime.headers import outgoing
from streams.runtime.producer import KafkaBroker
from streams.runtime.records import Outgoing
from streams.runtime.traces import DOCUMENT_ID, QUERY_ID, TENANT, carried, inside
from streams.settings import Settings
from streams.tail import TopicMissing
from streams.topics import MAX_RECORD_BYTES
from streams.wiring import Topic

DELIVERY_MS = 30_000
"""How long a broker that was there may be away before a send fails."""


class Sender:
    """Writes events to topics, each with a producer span of its own."""

    def __init__(self, settings: Settings) -> None:
        config: dict[str, str | int] = {"delivery.timeout.ms": DELIVERY_MS, "log_level": 2, **settings.kafka_config}
        self._broker = KafkaBroker(config, max_record_bytes=MAX_RECORD_BYTES)
        self._prefix = settings.topic_prefix
        self._address = settings.kafka_url
        self._source = f"/headwater/client/{uuid.uuid4()}"

    async def open(self, tracer: Tracer) -> None:
        self._tracer = tracer
        await self._broker.open()

    async def close(self) -> None:
        await self._broker.close()

    async def send(
        self, topic: Topic[Event], event: Event, context: Context | None = None, *, bulk: bool = False
    ) -> None:
        """Returns when the broker has the event. Raises what `checked` raises, TopicMissing and ConnectionError."""
        value = checked(event, topic)
        name = self._prefix + topic.name
        with self._tracer.start_as_current_span(
            f"publish {topic.name}", context=context, kind=SpanKind.PRODUCER, attributes=attributes(event)
        ) as span:
            span.set_attribute("messaging.destination.name", name)
            headers = outgoing(
                event,
                event_id=str(uuid.uuid4()),
                source=self._source,
                time=datetime.now(UTC),
                trace=carried(inside(span)),
                bulk=bulk,
            )
            record = Outgoing(topic=name, key=event.key.encode(), value=value, headers=headers)
            try:
                await (await self._broker.send(record))
            except Poison as error:
                if error.code == "unknown-partition":
                    raise TopicMissing(name, self._address) from None
                raise


def checked(event: Event, topic: Topic[Event]) -> bytes:
    """The event's bytes, proven to be what every reader of the topic accepts. Raises SchemaError, Poison."""
    value = encode(event)
    decode(value, event.ce_type, topic.events)
    if len(value) > MAX_RECORD_BYTES:
        raise Poison(
            "record-too-large",
            f"{event.key[:100]!r} has {len(value):,} bytes, a record holds {MAX_RECORD_BYTES:,}: "
            "shorten the question or the metadata; content over 512 KB travels beside the record by itself",
        )
    return value


def attributes(event: Event) -> dict[str, str]:
    """What a span says about an event: whom and what it is about, and nothing of its text."""
    about = {TENANT: "tenant", DOCUMENT_ID: "document_id", QUERY_ID: "query_id"}
    return {name: value for name, field in about.items() if (value := getattr(event, field, None)) is not None}
