"""Spans of the stages: who called, how long the record waited, what became of it."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanKind, StatusCode, Tracer, set_span_in_context, use_span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from schemas import Event
from streams.runtime.interrupts import query_of
from streams.runtime.records import Record

PROPAGATOR = TraceContextTextMapPropagator()

STAGE = "headwater.stage"
"""Name of the stage in the wiring table."""
TENANT = "headwater.tenant"
DOCUMENT_ID = "headwater.document_id"
QUERY_ID = "headwater.query_id"
BROKER_WAIT_MS = "headwater.broker_wait_ms"
"""From the record's timestamp to its consumption."""
OUTCOME = "headwater.outcome"
"""`done`, or the code of the failure."""


def parent(trace: Mapping[str, str]) -> Context:
    """The context that a record's headers name; a fresh one where they are malformed."""
    return PROPAGATOR.extract(dict(trace), context=Context())


def carried(context: Context) -> Mapping[str, str]:
    """Headers that make a record the child of `context`."""
    carrier: dict[str, str] = {}
    PROPAGATOR.inject(carrier, context=context)
    return carrier


@contextmanager
def stage_span(
    tracer: Tracer, stage: str, record: Record, context: Context, *, group: str, wait_ms: float | None
) -> Iterator[Span]:
    """The span of one stage's work on one record; `wait_ms` is none where the event came by call."""
    attributes: dict[str, str | int | float] = {
        "messaging.system": "kafka",
        "messaging.operation.type": "process",
        "messaging.destination.name": record.topic,
        "messaging.destination.partition.id": str(record.partition),
        "messaging.kafka.offset": record.offset,
        "messaging.consumer.group.name": group,
        STAGE: stage,
    }
    if wait_ms is not None:
        attributes[BROKER_WAIT_MS] = round(wait_ms, 3)
    kind = SpanKind.INTERNAL if wait_ms is None else SpanKind.CONSUMER
    span = tracer.start_span(f"{stage} process", context=context, kind=kind, attributes=attributes)
    # A bug's traceback may quote a document; the handler says what is wrong in words of its own.
    with use_span(span, end_on_exit=True, record_exception=False, set_status_on_exception=False):
        yield span


def describe(span: Span, event: Event) -> None:
    """Say on the span which document or question it is about, and nothing of its text."""
    if not span.is_recording():
        return
    about: object = query_of(event) or getattr(event, "document", event)
    for name, value in (
        (TENANT, getattr(about, "tenant", None)),
        (DOCUMENT_ID, getattr(about, "document_id", None)),
        (QUERY_ID, getattr(about, "query_id", None)),
    ):
        if value is not None:
            span.set_attribute(name, value)


def conclude(span: Span, code: str, detail: str = "") -> None:
    """Say what became of the event; everything but `done` is an error."""
    span.set_attribute(OUTCOME, code)
    if code != "done":
        span.set_status(StatusCode.ERROR, f"{code}: {detail}"[:500])


def inside(span: Span) -> Context:
    """The context of work that this span caused."""
    return set_span_in_context(span, Context())


def trace_id(span: Span) -> str:
    """32 hex digits, or zeros where nothing traces and no caller does."""
    return f"{span.get_span_context().trace_id:032x}"
