"""Where spans go. The only module that configures the OpenTelemetry SDK, and imports it only when it does."""

import logging
import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from streams.runtime.traces import QUERY_ID
from streams.settings import Settings
from streams.spans import SpanStore, StoredSpan

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.trace.export import SpanExporter
    from opentelemetry.trace import Tracer

log = logging.getLogger("headwater.tracing")

DELAY_MS = 300
"""Spans are visible this much later at most; a batch costs the same as one."""
EXPORT_S = 2.0
"""How long a collector may take for a batch, and so about how long the end of a process may wait for a lost one."""
TRACES_PATH = "/v1/traces"
SPANS_FILE = "spans.db"


def span_store(settings: Settings) -> SpanStore:
    """The local stack's own store."""
    return SpanStore(settings.home / SPANS_FILE)


@contextmanager
def tracing(settings: Settings, role: str) -> Iterator["Tracer"]:
    """A tracer of the service `headwater-<role>`; what it traced is exported when the block ends.

    By OTLP over HTTP where the settings name an endpoint, else into the local span store. Neither a collector nor a
    disk that is gone disturbs the caller: spans are dropped then, with a warning.
    """
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    resource = Resource({"service.name": f"headwater-{role}", "process.pid": os.getpid()})
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    exporter = _otlp(settings.otlp_endpoint) if settings.otlp_endpoint else _stored(span_store(settings))
    provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=DELAY_MS))
    try:
        yield provider.get_tracer("headwater")
    finally:
        provider.shutdown()


def _otlp(endpoint: str) -> "SpanExporter":
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    url = endpoint if endpoint.rstrip("/").endswith(TRACES_PATH) else endpoint.rstrip("/") + TRACES_PATH
    return OTLPSpanExporter(url, timeout=EXPORT_S)


def _stored(store: SpanStore) -> "SpanExporter":
    from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

    class StoreExporter(SpanExporter):
        def export(self, spans: "Sequence[ReadableSpan]") -> SpanExportResult:
            try:
                store.add([as_stored(span) for span in spans])
            except (sqlite3.Error, OSError) as error:
                log.warning("spans dropped", extra={"count": len(spans), "reason": str(error)})
                return SpanExportResult.FAILURE
            return SpanExportResult.SUCCESS

        def shutdown(self) -> None:
            """Nothing is held between exports."""

    return StoreExporter()


def as_stored(span: "ReadableSpan") -> StoredSpan:
    """A finished span of the SDK as plain data."""
    from opentelemetry.trace import StatusCode

    attributes = dict(span.attributes or {})
    query_id = attributes.get(QUERY_ID)
    failed = span.status.status_code is StatusCode.ERROR
    context = span.get_span_context()
    assert context is not None
    return StoredSpan(
        trace_id=f"{context.trace_id:032x}",
        span_id=f"{context.span_id:016x}",
        parent_id=f"{span.parent.span_id:016x}" if span.parent else None,
        name=span.name,
        service=str(span.resource.attributes.get("service.name", "")),
        kind=span.kind.name.lower(),
        start_ns=span.start_time or 0,
        end_ns=span.end_time or 0,
        error=(span.status.description or "error") if failed else None,
        query_id=None if query_id is None else str(query_id),
        attributes=attributes,
    )
