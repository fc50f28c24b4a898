"""docs/wire.md is enough: a producer and a caller with a Kafka client, the page's JSON, and nothing of ours."""

import json
import re
import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from confluent_kafka import Consumer, Message, Producer, TopicPartition

from streams.settings import Settings

PAGE = Path(__file__).parent.parent.parent / "docs" / "wire.md"
TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
PATIENCE_S = 60.0

pytestmark = [pytest.mark.stack, pytest.mark.skipif(not PAGE.exists(), reason="an installed wheel has no docs")]


class Wire(NamedTuple):
    """All that a stranger is told about a deployment."""

    broker: str
    prefix: str


@pytest.fixture(scope="module")
def wire(deployment: Settings, workers: object) -> Iterator[Wire]:
    yield Wire(deployment.kafka_url, deployment.topic_prefix)
    producer_to.cache_clear()


def block(name: str) -> dict[str, Any]:
    """The JSON that the page shows under this name."""
    found = re.search(rf"<!-- generated: {re.escape(name)} -->\n```json\n(.*?)\n```", PAGE.read_text(), re.DOTALL)
    assert found, f"docs/wire.md has no example {name!r}"
    event: dict[str, Any] = json.loads(found[1])
    return event


def rows(name: str) -> set[str]:
    """The first column of a table on the page."""
    found = re.search(rf"<!-- generated: {name} -->\n(.*?)<!-- end -->", PAGE.read_text(), re.DOTALL)
    assert found, f"docs/wire.md has no table {name!r}"
    return set(re.findall(r"^\| `([^`]+)`", found[1], re.MULTILINE))


def now() -> str:
    return datetime.now(UTC).isoformat()


@cache
def producer_to(broker: str) -> Producer:
    return Producer({"bootstrap.servers": broker, "enable.idempotence": True, "partitioner": "murmur2_random"})


def send(wire: Wire, topic: str, ce_type: str, key: str, value: bytes | dict[str, Any]) -> None:
    headers: list[tuple[str, str | bytes | None]] = [
        ("ce_specversion", "1.0"),
        ("ce_type", ce_type),
        ("ce_id", str(uuid.uuid4())),
        ("ce_source", "/wire-test"),
        ("ce_time", now()),
        ("content-type", "application/json"),
        ("traceparent", f"00-{TRACE_ID}-00f067aa0ba902b7-01"),
    ]
    written = value if isinstance(value, bytes) else json.dumps(value)
    producer_to(wire.broker).produce(wire.prefix + topic, key=key, value=written, headers=headers)
    assert producer_to(wire.broker).flush(30) == 0


class Reader:
    """Partitions of a topic from their present end on."""

    def __init__(self, wire: Wire, topic: str, partition: int | None = None) -> None:
        topic = wire.prefix + topic
        self.consumer = Consumer({"bootstrap.servers": wire.broker, "group.id": "none", "enable.auto.commit": False})
        known = self.consumer.list_topics(topic, timeout=10).topics[topic].partitions
        chosen = sorted(known) if partition is None else [partition]
        ends = [self.consumer.get_watermark_offsets(TopicPartition(topic, each), timeout=10)[1] for each in chosen]
        self.consumer.assign([TopicPartition(topic, each, end) for each, end in zip(chosen, ends, strict=True)])

    def __enter__(self) -> "Reader":
        return self

    def __exit__(self, *_: object) -> None:
        self.consumer.close()

    def records(self) -> Iterator[Message]:
        until = time.monotonic() + PATIENCE_S
        while time.monotonic() < until:
            message = self.consumer.poll(0.2)
            if message is not None and message.error() is None:
                yield message
        raise AssertionError(f"nothing came within {PATIENCE_S:g} s")


def headers_of(message: Message) -> dict[str, str]:
    pairs: Any = message.headers() or []
    return {str(name): value.decode() for name, value in pairs if isinstance(value, bytes)}


def value_of(message: Message) -> dict[str, Any]:
    event: dict[str, Any] = json.loads(message.value() or b"")
    return event


def receipt(wire: Wire, ce_type: str, event: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Publish a document event; its receipt's type and value."""
    with Reader(wire, "receipts") as receipts:
        send(wire, "documents", ce_type, f"{event['tenant']}/{event['document_id']}", event)
        for message in receipts.records():
            said = value_of(message)
            if all(said[name] == event[name] for name in ("tenant", "document_id", "version")):
                assert headers_of(message)["traceparent"].split("-")[1] == TRACE_ID
                return headers_of(message)["ce_type"], said
    raise AssertionError


def ask(wire: Wire, question: dict[str, Any]) -> tuple[list[dict[str, Any]], str, dict[str, Any]]:
    """Ask; the deltas, and the final event's type and value."""
    question["reply_to"] = {"topic": f"{wire.prefix}answers", "partition": 3}
    question["asked_at"] = now()
    deltas: list[dict[str, Any]] = []
    with Reader(wire, "answers", 3) as answers:
        send(wire, "queries", "headwater.query-asked.v1", question["query_id"], question)
        for message in answers.records():
            if (message.key() or b"").decode() != question["query_id"]:
                continue
            assert headers_of(message)["traceparent"].split("-")[1] == TRACE_ID
            if headers_of(message)["ce_type"] != "headwater.answer-delta.v1":
                return deltas, headers_of(message)["ce_type"], value_of(message)
            deltas.append(value_of(message))
    raise AssertionError


@pytest.fixture(scope="module")
def published(wire: Wire) -> dict[str, Any]:
    """The page's document, indexed; its receipt."""
    event = block("headwater.document-published.v1")
    kind, said = receipt(wire, "headwater.document-published.v1", event)
    assert kind == "headwater.document-indexed.v1"
    return said


def test_a_published_document_gets_the_receipt_that_the_page_shows(published: dict[str, Any]) -> None:
    shown = block("headwater.document-indexed.v1")
    assert set(published) == set(shown)
    assert set(published["timings"]) == set(shown["timings"])
    assert published["chunks"] == shown["chunks"]


def test_the_same_content_again_is_unchanged(wire: Wire, published: dict[str, Any]) -> None:
    event = block("headwater.document-published.v1") | {"version": 4}
    kind, said = receipt(wire, "headwater.document-published.v1", event)
    assert kind == "headwater.document-unchanged.v1"
    assert set(said) == set(block(kind))


def test_a_question_is_answered_with_a_citation(wire: Wire, published: dict[str, Any]) -> None:
    question = block("headwater.query-asked.v1")
    question |= {"query_id": str(uuid.uuid4()), "deadline": (datetime.now(UTC) + timedelta(seconds=60)).isoformat()}
    deltas, kind, final = ask(wire, question)
    shown = block("headwater.answer-completed.v1")
    assert kind == "headwater.answer-completed.v1"
    assert set(final) == set(shown)
    assert [delta["index"] for delta in deltas] == list(range(len(deltas)))
    assert "".join(delta["text"] for delta in deltas) == final["text"]
    assert {delta["attempt"] for delta in deltas} == {final["attempt"]}
    assert any("210 euros" in citation["quote"] for citation in final["citations"])
    cited = final["citations"][0]
    assert set(cited) == set(shown["citations"][0])
    assert cited["document_id"] == "handbook/travel.md"
    assert cited["quote"] in block("headwater.document-published.v1")["source"]["text"]


def test_whoever_is_not_among_the_readers_finds_nothing(wire: Wire, published: dict[str, Any]) -> None:
    question = block("headwater.query-asked.v1 minimal") | {
        "query_id": str(uuid.uuid4()),
        "tenant": published["tenant"],
    }
    deltas, kind, final = ask(wire, question)
    assert (kind, deltas) == ("headwater.answer-refused.v1", [])
    assert all(passage["document_id"] != "handbook/travel.md" for passage in final["considered"])


def test_a_past_deadline_fails_once(wire: Wire) -> None:
    question = block("headwater.query-asked.v1") | {"query_id": str(uuid.uuid4())}
    deltas, kind, final = ask(wire, question)
    assert (kind, deltas) == ("headwater.query-failed.v1", [])
    assert final["code"] == "deadline-exceeded"
    assert set(final) == set(block(kind))


def test_a_withdrawn_question_fails(wire: Wire) -> None:
    question = block("headwater.query-asked.v1 minimal") | {"query_id": str(uuid.uuid4())}
    cancellation = block("headwater.query-cancelled.v1") | {"query_id": question["query_id"]}
    send(wire, "cancellations", "headwater.query-cancelled.v1", question["query_id"], cancellation)
    for _ in range(20):  # the worker reads cancellations beside the questions, so the first may slip through
        _, kind, final = ask(wire, question)
        if kind == "headwater.query-failed.v1":
            break
    assert final["code"] == "cancelled"


def test_bytes_are_read(wire: Wire) -> None:
    kind, said = receipt(wire, "headwater.document-published.v1", block("headwater.document-published.v1 bytes"))
    assert kind == "headwater.document-indexed.v1", said


def test_a_claim_outside_the_store_is_rejected_with_the_reason(wire: Wire) -> None:
    kind, said = receipt(wire, "headwater.document-published.v1", block("headwater.document-published.v1 claim"))
    assert kind == "headwater.document-rejected.v1"
    assert said["code"] == "claim-outside-store"
    assert set(said) == set(block(kind))


def test_a_deleted_document_is_erased(wire: Wire, published: dict[str, Any]) -> None:
    kind, said = receipt(wire, "headwater.document-deleted.v1", block("headwater.document-deleted.v1"))
    assert kind == "headwater.document-erased.v1"
    assert set(said) == set(block(kind))


def test_what_is_no_event_becomes_a_dead_letter_with_the_headers_of_the_page(wire: Wire) -> None:
    with Reader(wire, "queries-dlq") as letters:
        send(wire, "queries", "headwater.query-asked.v1", "broken", b'{"query_id": ')
        letter = next(letters.records())
    headers = headers_of(letter)
    assert (letter.key(), letter.value()) == (b"broken", b'{"query_id": ')
    assert rows("dead letter headers") <= set(headers)
    assert headers["dlq-code"] == "schema"
    assert headers["dlq-trace"] == TRACE_ID
    assert headers["ce_source"] == "/wire-test"
    assert "Invalid JSON" in headers["dlq-detail"]


def test_a_reply_address_that_does_not_exist_is_a_dead_letter(wire: Wire) -> None:
    question = block("headwater.query-asked.v1 minimal") | {"query_id": str(uuid.uuid4())}
    question["reply_to"] = {"topic": "nobody-made-this-topic", "partition": 0}
    with Reader(wire, "queries-dlq") as letters:
        send(wire, "queries", "headwater.query-asked.v1", question["query_id"], question)
        letter = next(message for message in letters.records() if value_of(message) == question)
    assert headers_of(letter)["dlq-code"] == "reply-unreachable"
    assert "nobody-made-this-topic" in headers_of(letter)["dlq-detail"]
