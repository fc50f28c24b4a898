"""Record headers: CloudEvents in binary mode, W3C trace context, whose record it is, and the times of the stages."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import orjson

from processors.turns import Whose
from schemas import Event, SchemaError, decode
from streams.runtime.interrupts import query_of
from streams.runtime.records import Headers, Record
from streams.wiring import Topic

CE_TYPE = "ce_type"
TENANT = "ce_tenant"
LANE = "hw-lane"
BULK = b"bulk"
HISTORY = "hw-history"
MAX_HISTORY_BYTES = 8 * 1024
"""Every event that comes of a replayed record carries it, so nobody's own header may be longer."""
TIMINGS = "hw-timings"
TRACE = ("traceparent", "tracestate")


@dataclass(frozen=True, slots=True)
class Incoming:
    """What a record's headers say; whatever is malformed counts as absent."""

    ce_type: str | None
    trace: Mapping[str, str]
    """`traceparent` and `tracestate`, as the trace context propagator reads them."""
    timings: Mapping[str, float]

    @classmethod
    def of(cls, headers: Headers) -> "Incoming":
        """The last header of a name counts: that is what a setter that replaces would have left."""
        last = {name.lower(): value for name, value in headers if value is not None}
        trace = {name: value for name in TRACE if (value := _text(last.get(name))) is not None}
        return cls(_text(last.get(CE_TYPE)), trace, _timings(last.get(TIMINGS)))


def whose(record: Record) -> Whose:
    """With whom a record shares its turns: a producer that sets no header is known by its keys."""
    tenant, lane = b"", b""
    for name, value in record.headers:
        if name == TENANT:
            tenant = value or b""
        elif name == LANE:
            lane = value or b""
    if not tenant:
        tenant, found, _ = (record.key or b"").partition(b"/")
        tenant = tenant if found else b""
    return Whose(tenant.decode(errors="replace"), lane == BULK)


def deadline_of(record: Record, topic: Topic[Event]) -> datetime | None:
    """When whoever asked the question that a record of `topic` carries stops waiting; None where it carries none."""
    try:
        query = query_of(decode(record.value, Incoming.of(record.headers).ce_type, topic.events))
    except SchemaError:
        return None
    return query.deadline if query else None


def history_of(headers: Headers) -> bytes | None:
    """What a replayed record went through before, as it is written; None where that is nothing, or too long."""
    found = next((value for name, value in reversed(headers) if name.lower() == HISTORY), None)
    return found if found is not None and len(found) <= MAX_HISTORY_BYTES else None


def outgoing(
    event: Event,
    *,
    event_id: str,
    source: str,
    time: datetime,
    trace: Mapping[str, str] | None = None,
    timings: Mapping[str, float] | None = None,
    bulk: bool = False,
    history: bytes | None = None,
) -> list[tuple[str, bytes | None]]:
    """Headers for an event, built afresh: nothing of an incoming record leaks into them.

    `event_id` is unique within `source`, and the same when the same work is done twice.
    """
    headers: list[tuple[str, bytes | None]] = [
        ("ce_specversion", b"1.0"),
        ("ce_id", event_id.encode()),
        ("ce_type", event.ce_type.encode()),
        ("ce_source", source.encode()),
        ("ce_time", time.astimezone(UTC).isoformat().replace("+00:00", "Z").encode()),
        ("ce_subject", event.key.encode()),
        ("content-type", b"application/json"),
    ]
    about: object = query_of(event) or getattr(event, "document", event)
    if (tenant := getattr(about, "tenant", None)) is not None:
        headers.append((TENANT, str(tenant).encode()))
    if bulk:
        headers.append((LANE, BULK))
    if history is not None:
        headers.append((HISTORY, history))
    headers.extend((name, trace[name].encode()) for name in TRACE if trace and name in trace)
    if timings:
        headers.append((TIMINGS, orjson.dumps({name: round(value, 3) for name, value in timings.items()})))
    return headers


def _text(value: bytes | None) -> str | None:
    try:
        return None if value is None else value.decode()
    except UnicodeDecodeError:
        return None


def _timings(value: bytes | None) -> Mapping[str, float]:
    try:
        parsed = orjson.loads(value or b"{}")
    except orjson.JSONDecodeError:
        return {}
    if not isinstance(parsed, dict):
        return {}
    return {name: float(ms) for name, ms in parsed.items() if isinstance(ms, int | float)}
