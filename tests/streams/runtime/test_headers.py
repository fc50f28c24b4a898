"""Headers in: whatever is malformed counts as absent. Headers out: fresh, in CloudEvents' binary mode."""

import pytest

from processors.turns import Whose
from streams.runtime.headers import Incoming, outgoing, whose
from streams.runtime.records import Headers, Record
from tests.streams.runtime.wiring import NOW, document, question


def test_outgoing_headers_are_cloudevents_in_binary_mode() -> None:
    headers = outgoing(
        document(),
        event_id="7",
        source="/me",
        time=NOW,
        trace={"traceparent": "00-x", "baggage": "b"},
        timings={"a": 1.23456},
    )
    assert dict(headers) == {
        "ce_specversion": b"1.0",
        "ce_id": b"7",
        "ce_type": b"headwater.document-published.v1",
        "ce_source": b"/me",
        "ce_time": b"2026-01-02T03:04:05Z",
        "ce_subject": b"t/d1",
        "ce_tenant": b"t",
        "content-type": b"application/json",
        "traceparent": b"00-x",
        "hw-timings": b'{"a":1.235}',
    }


def test_the_last_header_of_a_name_counts() -> None:
    assert Incoming.of([("ce_type", b"a"), ("CE_Type", b"b"), ("ce_type", None)]).ce_type == "b"


@pytest.mark.parametrize("value", [b"", b"{", b"[1]", b'{"a":"b"}', b"\xff", b"null"])
def test_malformed_timings_count_as_absent(value: bytes) -> None:
    assert Incoming.of([("hw-timings", value)]).timings == {}


def test_a_header_that_is_no_text_counts_as_absent() -> None:
    incoming = Incoming.of([("ce_type", b"\xff"), ("traceparent", b"\xfe")])
    assert incoming.ce_type is None
    assert incoming.trace == {}


@pytest.mark.parametrize(
    ("key", "headers", "expected"),
    [
        (b"acme/a/b.md", [], Whose("acme", bulk=False)),
        (b"acme/a.md", [("hw-lane", b"bulk")], Whose("acme", bulk=True)),
        (b"query-1", [("ce_tenant", b"acme")], Whose("acme", bulk=False)),
        (b"query/1", [("ce_tenant", b"acme"), ("hw-lane", b"other")], Whose("acme", bulk=False)),
        (b"query-1", [("ce_tenant", None)], Whose("", bulk=False)),
        (None, [], Whose("", bulk=False)),
        (b"\xff/a", [], Whose("\ufffd", bulk=False)),
    ],
)
def test_a_record_is_its_tenant_s_by_header_or_key(key: bytes | None, headers: Headers, expected: Whose) -> None:
    record = Record(topic="t", partition=0, offset=0, key=key, value=b"", headers=headers, timestamp_ms=0)
    assert whose(record) == expected


def test_a_question_s_headers_name_its_tenant() -> None:
    headers = dict(outgoing(question(), event_id="7", source="/me", time=NOW, bulk=True))
    assert headers["ce_tenant"] == b"t"
    assert headers["hw-lane"] == b"bulk"
