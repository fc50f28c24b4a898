"""The main job on real parts: a document published a moment ago answers a question, with its citation and its trace."""

import asyncio
import itertools
import uuid
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from confluent_kafka import Message, Producer

from schemas import (
    AnswerCompleted,
    AnswerRefused,
    DocumentErased,
    DocumentIndexed,
    DocumentRejected,
    DocumentUnchanged,
    FinalReply,
    QueryAsked,
    QueryFailed,
    QueryId,
    ReplyTo,
    Tenant,
    encode,
)
from streams.client import Client
from streams.composition import Backends
from streams.runtime.traces import BROKER_WAIT_MS, DOCUMENT_ID
from streams.settings import Settings
from streams.spans import StoredSpan
from streams.tracing import span_store
from tests.e2e.conftest import Worker

pytestmark = [pytest.mark.stack, pytest.mark.timeout(240), pytest.mark.usefixtures("workers")]
DeadLetter = Callable[[str, Callable[[Message], bool]], Message]

HANDBOOK = """Staff handbook

Annual leave

Every employee has thirty days of annual leave per year. Leave that is not taken by the end of March expires.

Travel

Train journeys below four hours are booked in second class. The travel office is open from nine to noon.
"""
QUESTION = "How many days of annual leave does an employee have?"


async def published(client: Client, document_id: str, text: str, **about: Any) -> DocumentIndexed:
    receipt = await client.receipt(await client.publish(document_id, text, **about), timeout_s=90)
    assert isinstance(receipt, DocumentIndexed), receipt
    return receipt


async def test_an_answer_cites_the_document_published_a_moment_earlier(deployment: Settings, tenant: str) -> None:
    query_id = uuid.uuid4().hex
    async with Client(deployment) as client:
        receipt = await published(client, "handbook", HANDBOOK, tenant=tenant, title="Handbook")
        replies = [reply async for reply in client.ask(QUESTION, tenant=tenant, query_id=query_id)]
    *deltas, final = replies
    assert isinstance(final, AnswerCompleted), final
    assert "thirty days of annual leave" in final.text
    assert "".join(delta.text for delta in deltas) == final.text  # type: ignore[union-attr]
    citation = final.citations[0]
    assert (citation.document_id, citation.version, citation.title) == ("handbook", receipt.version, "Handbook")
    assert final.text[citation.answer_start : citation.answer_end] == citation.quote
    assert await passage_at(deployment, tenant, citation.ordinal, citation.start, citation.end) == citation.quote
    assert {"retrieve", "rerank", "generate", "retrieve.wait", "rerank.wait", "generate.wait"} <= set(final.timings)
    assert {"chunk", "embed", "upsert", "chunk.wait", "embed.wait", "upsert.wait"} <= set(receipt.timings)


async def passage_at(deployment: Settings, tenant: str, ordinal: int, start: int, end: int) -> str:
    index = Backends(deployment).index
    await index.open()
    try:
        chunks = await index.chunks(Tenant(tenant), "handbook")  # type: ignore[arg-type]
    finally:
        await index.close()
    chunk = chunks[ordinal]
    return chunk.text[start - chunk.start : end - chunk.start]


async def test_one_trace_runs_from_the_client_through_every_hop(deployment: Settings, tenant: str) -> None:
    query_id, document_id = uuid.uuid4().hex, uuid.uuid4().hex
    async with Client(deployment) as client:
        await published(client, document_id, HANDBOOK, tenant=tenant)
        await client.answer(QUESTION, tenant=tenant, query_id=query_id)
    asked = await trace_with(deployment, query_id, {"generate process"})
    assert one_tree(asked)
    assert {span.name for span in asked} >= {
        *("ask", "publish queries", "retrieve process", "rerank process", "generate process"),
        *("embed query", "search", "rerank passages", "generate extractive"),
    }
    stored = await trace_with(deployment, document_id, {"upsert process"})
    assert one_tree(stored)
    assert {span.name for span in stored} >= {
        *("publish documents", "chunk process", "embed process", "upsert process"),
        *("parse", "embed passage", "write chunks", "flip head"),
    }
    for span in (*asked, *stored):
        if span.name.endswith(" process"):
            assert isinstance(span.attributes[BROKER_WAIT_MS], float), span.name


async def trace_with(deployment: Settings, about: str, names: set[str]) -> list[StoredSpan]:
    """The only trace about a question or a document, once these spans are stored."""
    store = span_store(deployment)
    async with asyncio.timeout(20):
        while True:
            traces = [store.trace(trace_id) for trace_id in store.find("", limit=500)]
            found = [
                spans
                for spans in traces
                if any(span.query_id == about or span.attributes.get(DOCUMENT_ID) == about for span in spans)
            ]
            assert len(found) <= 1, "several traces are about it"
            if found and names <= {span.name for span in found[0]}:
                return found[0]
            await asyncio.sleep(0.1)


def one_tree(spans: list[StoredSpan]) -> bool:
    """Whether every span but the first hangs below another."""
    known = {span.span_id for span in spans}
    return [span.parent_id in known for span in spans].count(False) == 1


async def test_a_new_version_replaces_the_old_one(deployment: Settings, tenant: str) -> None:
    async with Client(deployment) as client:
        await published(client, "handbook", HANDBOOK, tenant=tenant)
        newer = await published(client, "handbook", HANDBOOK.replace("thirty", "twenty-six"), tenant=tenant)
        final = await client.answer(QUESTION, tenant=tenant)
        assert isinstance(final, AnswerCompleted)
        assert "twenty-six" in final.text
        assert "thirty" not in final.text
        assert {citation.version for citation in final.citations} == {newer.version}


async def test_the_same_content_again_embeds_nothing(deployment: Settings, tenant: str) -> None:
    async with Client(deployment) as client:
        await published(client, "handbook", HANDBOOK, tenant=tenant)
        again = await client.receipt(await client.publish("handbook", HANDBOOK, tenant=tenant), timeout_s=60)
    assert isinstance(again, DocumentUnchanged)


async def test_a_deleted_document_answers_nothing(deployment: Settings, tenant: str) -> None:
    async with Client(deployment) as client:
        await published(client, "handbook", HANDBOOK, tenant=tenant)
        erased = await client.receipt(await client.delete("handbook", tenant=tenant), timeout_s=60)
        assert isinstance(erased, DocumentErased)
        assert sum(erased.removed.values()) > 0
        assert no_evidence(await client.answer(QUESTION, tenant=tenant))


async def test_a_tenant_never_sees_another_s_documents(deployment: Settings, tenant: str) -> None:
    async with Client(deployment) as client:
        await published(client, "handbook", HANDBOOK, tenant=tenant)
        for other in (f"{tenant}x", tenant[:-1], "default"):
            final = await client.answer(QUESTION, tenant=other)
            assert no_evidence(final), other


async def test_a_document_with_readers_is_found_by_them_alone(deployment: Settings, tenant: str) -> None:
    async with Client(deployment) as client:
        await published(client, "handbook", HANDBOOK, tenant=tenant, readers=["alice", "board"])
        for principals, found in (((), False), (("bob",), False), (("bob", "board"), True), (("alice",), True)):
            final = await client.answer(QUESTION, tenant=tenant, principals=principals)
            assert isinstance(final, AnswerCompleted) is found, principals
            assert no_evidence(final) is not found, principals


def no_evidence(final: FinalReply) -> bool:
    return isinstance(final, AnswerRefused) and final.code == "no-evidence" and not final.considered


FACTS = {
    "Which colour is the ferry?": ("ferry", "The ferry to the island is painted bright orange."),
    "How tall is the lighthouse?": ("lighthouse", "The lighthouse is forty-one metres tall."),
    "When does the bakery open?": ("bakery", "The bakery opens at half past five in the morning."),
    "Who repairs the church organ?": ("organ", "The church organ is repaired by Ingrid Solberg."),
    "What does the museum ticket cost?": ("museum", "The museum ticket costs eleven crowns."),
}


async def test_fifty_callers_at_once_read_only_their_own(deployment: Settings, tenant: str) -> None:
    async with Client(deployment) as client:
        await asyncio.gather(*(published(client, name, f"{fact}\n", tenant=tenant) for name, fact in FACTS.values()))

        async def caller(question: str, own: bool) -> None:
            if own:
                async with Client(deployment) as alone:
                    final = await alone.answer(question, tenant=tenant, deadline_s=120)
            else:
                final = await client.answer(question, tenant=tenant, deadline_s=120)
            assert isinstance(final, AnswerCompleted), final
            assert FACTS[question][1] in final.text

        questions = itertools.islice(itertools.cycle(FACTS), 50)
        await asyncio.gather(*(caller(question, number % 5 == 0) for number, question in enumerate(questions)))


@pytest.mark.parametrize(
    ("text", "code"), [("", "empty-question"), (" \n ", "empty-question"), ("why? " * 20_000, "question-too-long")]
)
async def test_a_question_that_cannot_be_answered_says_why(
    deployment: Settings, tenant: str, text: str, code: str
) -> None:
    async with Client(deployment) as client:
        final = await client.answer(text, tenant=tenant)
    assert isinstance(final, QueryFailed)
    assert (final.stage, final.code) == ("retrieve", code)


async def test_a_question_past_its_deadline_fails_once(deployment: Settings, tenant: str) -> None:
    async with Client(deployment) as client:
        replies = [reply async for reply in client.ask(QUESTION, tenant=tenant, deadline_s=0.0)]
    assert [getattr(reply, "code", None) for reply in replies] == ["deadline-exceeded"]


async def test_a_withdrawn_question_fails_once(deployment: Settings, tenant: str) -> None:
    query_id = uuid.uuid4().hex
    async with Client(deployment) as client:
        await client.cancel(query_id)
        await asyncio.sleep(1)  # withdrawals and questions are different topics, read independently
        replies = [reply async for reply in client.ask(QUESTION, tenant=tenant, query_id=query_id)]
    assert [getattr(reply, "code", None) for reply in replies] == ["cancelled"]


async def test_a_reply_address_that_does_not_exist_is_a_dead_letter(
    deployment: Settings, tenant: str, dead_letter: DeadLetter
) -> None:
    query = QueryAsked(
        query_id=QueryId(uuid.uuid4().hex),
        tenant=Tenant(tenant),
        text=QUESTION,
        reply_to=ReplyTo(topic="nobody-listens-here", partition=3),
        asked_at=datetime.now(UTC),
    )
    produce(deployment, "queries", query.key, encode(query), query.ce_type)
    letter = await asyncio.to_thread(dead_letter, "queries", lambda message: message.key() == query.key.encode())
    assert letter.value() == encode(query)
    assert reason(letter)["dlq-code"] == "reply-unreachable"
    assert "'nobody-listens-here' partition 3" in reason(letter)["dlq-detail"]


@pytest.mark.parametrize(
    "record",
    [
        (b"{not json", "headwater.document-published.v1", "JSON"),
        (b'{"tenant": "t"}', "headwater.document-published.v1", "document_id"),
        (b"{}", "headwater.document-burnt.v1", "'headwater.document-burnt.v1'"),
    ],
)
async def test_a_record_that_is_no_event_is_a_dead_letter_and_its_neighbours_go_on(
    deployment: Settings, tenant: str, dead_letter: DeadLetter, record: tuple[bytes, str, str]
) -> None:
    value, ce_type, says = record
    key = f"{tenant}/handbook"
    produce(deployment, "documents", key, value, ce_type)
    async with Client(deployment) as client:
        await published(client, "handbook", HANDBOOK, tenant=tenant)
    letter = await asyncio.to_thread(dead_letter, "documents", lambda message: message.key() == key.encode())
    assert letter.value() == value
    assert (reason(letter)["dlq-code"], reason(letter)["dlq-stage"]) == ("schema", "chunk")
    assert says in reason(letter)["dlq-detail"]


def produce(deployment: Settings, topic: str, key: str, value: bytes, ce_type: str) -> None:
    # With the partitioner of our own producers, so that neighbours under this key share its partition.
    producer = Producer({**deployment.kafka_config, "partitioner": "murmur2_random"})
    producer.produce(deployment.topic_prefix + topic, value, key=key, headers={"ce_type": ce_type})
    assert producer.flush(10) == 0


def reason(letter: Message) -> dict[str, str]:
    headers: Any = letter.headers()
    return {name: value.decode() for name, value in headers}


@pytest.mark.parametrize(
    ("content", "filename", "code"),
    [
        (b"\x00\x01\x02\x03" * 50, "sensor.xyz", "unsupported-media-type"),
        (b"%PDF-1.7\nbroken", "broken.pdf", "unreadable"),
        (b"   \n\t ", "blank.txt", "empty-document"),
    ],
)
async def test_a_file_that_cannot_be_read_is_rejected_with_a_reason(
    deployment: Settings, tenant: str, content: bytes, filename: str, code: str
) -> None:
    async with Client(deployment) as client:
        await published(client, filename, HANDBOOK, tenant=tenant)
        event = await client.publish(filename, content, tenant=tenant, filename=filename)
        receipt = await client.receipt(event, timeout_s=60)
        assert isinstance(receipt, DocumentRejected), receipt
        assert (receipt.stage, receipt.code) == ("chunk", code)
        still = await client.answer(QUESTION, tenant=tenant)
        assert isinstance(still, AnswerCompleted), "what was searchable before still is"


async def test_a_large_document_travels_beside_the_record(deployment: Settings, tenant: str) -> None:
    page = f"<!-- {'x' * 600_000} --><h1>Staff handbook</h1><p>{HANDBOOK}</p>".encode()
    async with Client(deployment) as client:
        event = await client.publish("page", page, tenant=tenant, filename="page.html")
        assert event.source.kind == "claim"
        assert isinstance(await client.receipt(event, timeout_s=60), DocumentIndexed)
        assert isinstance(await client.answer(QUESTION, tenant=tenant), AnswerCompleted)


async def test_every_receipt_arrives_though_a_worker_is_killed(
    deployment: Settings, tenant: str, workers: dict[str, Worker]
) -> None:
    texts = [f"{HANDBOOK}\nParagraph of its own: number {number}.\n" for number in range(40)]
    async with Client(deployment) as client:
        events = [await client.publish(f"d{number}", text, tenant=tenant) for number, text in enumerate(texts)]
        await client.receipt(events[0], timeout_s=90)
        workers["ingest"].kill()
        workers["ingest"].start()
        receipts = await asyncio.gather(*(client.receipt(event, timeout_s=150) for event in events[1:]))
        kinds = Counter(type(receipt) for receipt in receipts)
        assert set(kinds) <= {DocumentIndexed, DocumentUnchanged}, kinds
        final = await client.answer("Which document has paragraph number 39?", tenant=tenant)
        assert not no_evidence(final)
