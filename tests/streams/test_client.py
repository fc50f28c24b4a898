"""A caller over the wire alone: what it sends, what it is told, and what it must never be told."""

import asyncio
import hashlib
import threading
from collections.abc import Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.trace import get_tracer

from processors.errors import Poison
from processors.turns import Whose
from schemas import (
    AnswerCompleted,
    AnswerDelta,
    AnswerRefused,
    Claim,
    DocumentErased,
    DocumentIndexed,
    DocumentRejected,
    InlineBytes,
    InlineText,
    QueryFailed,
    SchemaError,
)
from streams.client import Client, NoReply
from streams.contents import LARGE_FILES, Contents
from streams.runtime.headers import whose
from streams.runtime.records import Record
from streams.settings import Settings
from streams.tail import BrokerUnreachable, Tail, TopicMissing
from streams.topics import DOCUMENTS
from streams.tracing import span_store
from tests.streams.responder import Responder

pytestmark = pytest.mark.stack
NOWHERE = get_tracer("untraced")


async def test_each_publication_gets_its_own_receipt(deployment: Settings, responder: Responder) -> None:
    async with Client(deployment, NOWHERE) as client:
        good, bad = await client.publish("good", "text"), await client.publish("bad", "text")
        assert isinstance(await client.receipt(bad), DocumentRejected)
        receipt = await client.receipt(good)
    assert isinstance(receipt, DocumentIndexed)
    assert (receipt.version, receipt.published_at) == (good.version, good.published_at)


async def test_a_receipt_that_arrived_before_the_wait_is_kept(deployment: Settings, responder: Responder) -> None:
    async with Client(deployment, NOWHERE) as client:
        early, late = await client.publish("early", "text"), await client.publish("late", "text")
        await client.receipt(late)
        assert isinstance(await client.receipt(early), DocumentIndexed)


async def test_the_same_version_published_twice_gets_two_receipts(deployment: Settings, responder: Responder) -> None:
    async with Client(deployment, NOWHERE) as client:
        events = [await client.publish("twice", "text", version=7) for _ in range(2)]
        receipts = [await client.receipt(event) for event in events]
    assert [receipt.published_at for receipt in receipts] == [event.published_at for event in events]


async def test_a_receipt_of_another_client_is_not_to_be_had(deployment: Settings, responder: Responder) -> None:
    async with Client(deployment, NOWHERE) as one, Client(deployment, NOWHERE) as other:
        event = await one.publish("mine", "text")
        await one.receipt(event)
        with pytest.raises(LookupError, match="not sent by this client"):
            await other.receipt(event)


async def test_a_missing_receipt_is_a_clear_error(deployment: Settings, responder: Responder) -> None:
    async with Client(deployment, NOWHERE) as client:
        event = await client.publish("silent", "text")
        with pytest.raises(NoReply, match=r"no receipt for version \d+ of 'silent'"):
            await client.receipt(event, timeout_s=0.3)


async def test_a_deletion_ends_in_an_erasure_receipt(deployment: Settings, responder: Responder) -> None:
    async with Client(deployment, NOWHERE) as client:
        assert isinstance(await client.receipt(await client.delete("gone")), DocumentErased)


async def test_versions_grow_within_a_client(deployment: Settings) -> None:
    async with Client(deployment, NOWHERE) as client:
        events = [await client.publish("v", "text") for _ in range(20)]
    versions = [event.version for event in events]
    assert versions == sorted(set(versions))


async def test_a_file_travels_as_bytes_with_its_name_and_type(deployment: Settings, tmp_path: Path) -> None:
    file = tmp_path / "page.HTML"
    file.write_bytes(b"<p>\xff")
    async with Client(deployment, NOWHERE) as client:
        event = await client.publish("page", file)
    assert event.source == InlineBytes(data=b"<p>\xff")
    assert (event.media_type, event.filename) == ("text/html", "page.HTML")


async def test_an_import_says_so_and_whose_it_is(deployment: Settings) -> None:
    heard: list[Record] = []
    both = asyncio.Event()

    def hear(records: Sequence[Record]) -> None:
        heard.extend(records)
        if len(heard) == 2:
            both.set()

    tail = Tail(deployment.kafka_config, deployment.topic_prefix + DOCUMENTS.name)
    await tail.open()
    tail.follow(hear)
    async with Client(deployment, NOWHERE) as client:
        await client.publish("one", "text", tenant="acme")
        await client.publish("of many", "text", tenant="acme", lane="bulk")
        await both.wait()
    await tail.close()
    assert {record.key: whose(record) for record in heard} == {
        b"acme/one": Whose("acme"),
        b"acme/of many": Whose("acme", bulk=True),
    }


async def test_text_of_512_kb_travels_inline_and_more_as_a_claim(deployment: Settings) -> None:
    limit = 512 * 1024
    async with Client(deployment, NOWHERE) as client:
        inline = await client.publish("inline", "\u00e9" * (limit // 2))
        claimed = await client.publish("claimed", "x" * (limit + 1))
    assert isinstance(inline.source, InlineText)
    assert isinstance(claimed.source, Claim)
    stored = Path(claimed.source.uri.removeprefix("file://")).read_bytes()  # noqa: ASYNC240
    assert hashlib.sha256(stored).hexdigest() == claimed.source.sha256
    assert len(stored) == claimed.source.size_bytes == limit + 1


async def test_few_large_files_are_in_memory_at_once(
    deployment: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "large.txt"
    file.write_bytes(b"x" * (512 * 1024 + 1))
    held = most = 0
    claim = Contents.claim

    async def claimed(contents: Contents, source: InlineText | InlineBytes) -> Claim:
        nonlocal held, most
        held, most = held + 1, max(most, held + 1)
        put = await claim(contents, source)
        held -= 1
        return put

    monkeypatch.setattr(Contents, "claim", claimed)
    async with Client(deployment, NOWHERE) as client:
        events = await asyncio.gather(*(client.publish(f"d{number}", file) for number in range(8)))
    assert most == LARGE_FILES
    assert len({event.source for event in events}) == 1


async def test_a_record_over_the_limit_becomes_a_claim_or_says_why_not(deployment: Settings) -> None:
    async with Client(deployment, NOWHERE) as client:
        # 512 KB of text and 3.9 MB of metadata: only together too much.
        claimed = await client.publish("c", "x" * 500_000, metadata={"m": "y" * 3_900_000})
        assert isinstance(claimed.source, Claim)
        with pytest.raises(Poison, match="shorten the question or the metadata"):
            await client.publish("c", "x", metadata={"m": "y" * 5_000_000})


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"tenant": "a/b"}, "tenant"),
        ({"document_id": ""}, "document_id"),
        ({"version": 2**63}, "version"),
        ({"content": "lone \ud800 surrogate"}, "cannot be written"),
        ({"readers": ("",)}, "readers"),
    ],
)
async def test_what_the_contract_forbids_is_not_sent(deployment: Settings, wrong: dict[str, Any], says: str) -> None:
    arguments: dict[str, Any] = {"document_id": "d", "content": "text", **wrong}
    async with Client(deployment, NOWHERE) as client:
        with pytest.raises(SchemaError, match=says):
            await client.publish(**arguments)


async def test_an_answer_streams_in_order_and_ends_once(deployment: Settings, responder: Responder) -> None:
    async with Client(deployment, NOWHERE) as client:
        replies = [reply async for reply in client.ask("one two three")]
    *deltas, final = replies
    assert isinstance(final, AnswerCompleted)
    assert "".join(delta.text for delta in deltas if isinstance(delta, AnswerDelta)) == final.text == "one two three"


async def test_redelivered_replies_are_dropped(deployment: Settings, responder: Responder) -> None:
    async with Client(deployment, NOWHERE) as client:
        replies = [reply async for reply in client.ask("stutter once")]
    assert [getattr(reply, "index", "final") for reply in replies] == [0, 1, "final"]


async def test_a_new_attempt_starts_the_text_anew(deployment: Settings, responder: Responder) -> None:
    async with Client(deployment, NOWHERE) as client:
        replies = [reply async for reply in client.ask("takeover now")]
    assert [(reply.attempt, getattr(reply, "index", "final")) for reply in replies] == [  # type: ignore[union-attr]
        ("a", 0),
        ("b", 0),
        ("b", 1),
        ("b", "final"),
    ]


async def test_refusals_and_failures_are_final_too(deployment: Settings, responder: Responder) -> None:
    async with Client(deployment, NOWHERE) as client:
        assert isinstance(await client.answer("refuse this"), AnswerRefused)
        assert isinstance(await client.answer("fail this"), QueryFailed)


async def test_fifty_tasks_and_fifty_clients_read_only_their_own(deployment: Settings, responder: Responder) -> None:
    async def ask(client: Client, name: str) -> bool:
        final = await client.answer(name)
        return isinstance(final, AnswerCompleted) and final.text == name

    async def alone(number: int) -> bool:
        async with Client(deployment, NOWHERE) as client:
            return await ask(client, f"client {number}")

    async with Client(deployment, NOWHERE) as client:
        tasks = [ask(client, f"task {number}") for number in range(50)]
        assert all(await asyncio.gather(*tasks, *(alone(number) for number in range(50))))


async def test_silence_ends_in_a_clear_error_and_withdraws_the_question(
    deployment: Settings, responder: Responder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streams.client.GRACE_S", 0.1)
    async with Client(deployment, NOWHERE) as client:
        with pytest.raises(NoReply, match=r"no answer to query 'q1' within 0\.4 s"):
            await client.answer("silence please", deadline_s=0.3, query_id="q1")
        await _heard(responder, "q1")


async def test_a_deadline_in_the_past_still_waits_for_the_word_of_the_pipeline(
    deployment: Settings, responder: Responder
) -> None:
    async with Client(deployment, NOWHERE) as client:
        assert isinstance(await client.answer("fail", deadline_s=-60.0), QueryFailed)


async def test_leaving_early_withdraws_the_question(deployment: Settings, responder: Responder) -> None:
    async with Client(deployment, NOWHERE) as client:
        async with aclosing(client.ask("one two", query_id="left")) as replies:
            async for _ in replies:
                break
        await _heard(responder, "left")


async def test_a_query_id_in_use_is_refused(deployment: Settings, responder: Responder) -> None:
    async with Client(deployment, NOWHERE) as client, aclosing(client.ask("silence", query_id="same")) as first:
        waiting = asyncio.create_task(anext(first))
        await asyncio.sleep(0.5)
        with pytest.raises(ValueError, match="'same' is in use"):
            await client.answer("again", query_id="same")
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting


async def test_headers_are_a_cloud_event_within_the_client_s_trace(deployment: Settings, responder: Responder) -> None:
    async with Client(deployment) as client:
        await client.answer("one two", query_id="traced")
    headers = responder.headers["traced"]
    assert headers["ce_specversion"] == b"1.0"
    assert headers["ce_type"] == b"headwater.query-asked.v1"
    assert headers["ce_subject"] == b"traced"
    [trace_id] = span_store(deployment).find("traced")
    asked, published = span_store(deployment).trace(trace_id)
    assert headers["traceparent"].decode() == f"00-{trace_id}-{published.span_id}-03"
    assert (asked.name, asked.parent_id, published.parent_id) == ("ask", None, asked.span_id)
    assert (published.kind, published.service) == ("producer", "headwater-client")


async def test_a_question_names_the_versions_that_it_must_see(deployment: Settings, responder: Responder) -> None:
    async with Client(deployment, NOWHERE) as client:
        event = await client.publish("d", "text", version=7)
        failed = await client.answer("versions", min_versions={event.document_id: event.version}, wait_for_s=0.5)
        assert isinstance(failed, QueryFailed)
        assert (failed.code, failed.detail) == ("not-visible", "waits 0.5 s for {'d': 7}")
        plain = await client.answer("versions")
        assert isinstance(plain, QueryFailed)
        assert plain.detail == "waits 5 s for {}"
        with pytest.raises(SchemaError, match=r"min_versions\.d: Input should be greater than or equal to 1, not 0"):
            await client.answer("versions", min_versions={"d": 0})
        with pytest.raises(SchemaError, match="wait_for_s"):
            await client.answer("versions", min_versions={"d": 7}, wait_for_s=61)


async def test_no_thread_is_left(deployment: Settings, responder: Responder) -> None:
    before = set(threading.enumerate())
    async with Client(deployment) as client:
        await client.receipt(await client.publish("d", "text"))
        await client.answer("one")
    left = {thread.name for thread in set(threading.enumerate()) - before}
    assert {name for name in left if not name.startswith("asyncio_")} == set()


async def test_no_broker_is_a_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streams.tail.CONNECT_S", 0.5)
    async with Client(Settings(kafka="127.0.0.1:9", home=tmp_path), NOWHERE) as client:
        with pytest.raises(BrokerUnreachable, match=r"127\.0\.0\.1:9; start the local stack with `headwater up`"):
            await client.publish("d", "text")


async def test_no_topics_is_a_clear_error(deployment: Settings) -> None:
    async with Client(deployment.model_copy(update={"topic_prefix": "nobody-s-"}), NOWHERE) as client:
        with pytest.raises(TopicMissing, match="`headwater topics apply`"):
            await client.answer("anything")


async def _heard(responder: Responder, query_id: str) -> None:
    async with asyncio.timeout(10):
        while query_id not in responder.cancelled:  # noqa: ASYNC110 - the responder is a thread
            await asyncio.sleep(0.02)
