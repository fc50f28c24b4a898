"""A record's way through a segment: fused or not, it leaves the same events, times, traces and dead letters."""

import logging
from collections.abc import Sequence
from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from processors.errors import Poison, Transient
from schemas import ChunksEmbedded, ChunksExtracted, DocumentIndexed, DocumentRejected, decode
from streams.topics import CHUNKS
from tests.streams.runtime.wiring import PREFIX, Bench, chunk, dlq, document, embed, ingest, query, question, upsert

SEGMENTATIONS = ["chunk|embed|upsert", "chunk|embed+upsert", "chunk+embed+upsert"]


async def one_bad(event: ChunksExtracted) -> Sequence[ChunksEmbedded]:
    if event.chunks[0].text == "bad":
        raise Poison("too-odd", "this chunk is odd")
    return await embed(event)


@pytest.mark.parametrize("segmentation", SEGMENTATIONS)
async def test_outputs_go_on_in_order(segmentation: str) -> None:
    bench = Bench(ingest(), segmentation)
    await bench.publish(document("d1", "a b c d"), document("d2", "a b"))
    await bench.engine.run()
    receipts = [said.event for said in bench.said("receipts")]
    for name, slices in (("d1", [0, 1, 2, 3]), ("d2", [0, 1])):
        assert [
            each.chunks for each in receipts if isinstance(each, DocumentIndexed) and each.document_id == name
        ] == slices


async def test_a_failure_in_a_fused_stage_leaves_the_letter_that_a_topic_would_have_left() -> None:
    bench = Bench(ingest(embed=one_bad), "chunk+embed+upsert")
    await bench.publish(document("d1", "good bad good"))
    await bench.engine.run()

    [letter] = bench.letters("chunks")
    headers = dict(letter.headers)
    event = decode(letter.value, (headers["ce_type"] or b"").decode(), CHUNKS.events)
    assert isinstance(event, ChunksExtracted)
    assert event.chunks[0].text == "bad"
    assert letter.key == b"t/d1"
    about = dlq(letter)
    assert (about["dlq-stage"], about["dlq-code"]) == ("embed", "too-odd")
    assert (about["dlq-source-topic"], about["dlq-source-offset"]) == (f"{PREFIX}documents", "0")
    receipts = [said.event for said in bench.said("receipts")]
    assert [type(event).__name__ for event in receipts] == ["DocumentIndexed", "DocumentRejected", "DocumentIndexed"]
    rejected = receipts[1]
    assert isinstance(rejected, DocumentRejected)
    assert (rejected.stage, rejected.code, rejected.detail) == ("embed", "too-odd", "this chunk is odd")


async def test_the_letter_of_a_fused_stage_has_the_headers_that_a_topic_would_have_given_it() -> None:
    letters = []
    for segmentation in ("chunk+embed+upsert", "chunk|embed|upsert"):
        bench = Bench(ingest(embed=one_bad), segmentation)
        await bench.publish(document("d1", "good bad good"))
        await bench.engine.run()
        [letter] = bench.letters("chunks")
        kept = ("ce_id", "ce_source", "ce_type", "ce_subject")
        letters.append((letter.key, letter.value, {name: dict(letter.headers)[name] for name in kept}))
    assert letters[0] == letters[1]


async def test_what_a_bug_says_goes_to_the_sender_and_on_no_span(monkeypatch: pytest.MonkeyPatch) -> None:
    # What pytest keeps of a log it cannot send from one process to another with half a character in it.
    monkeypatch.setattr(logging.getLogger("headwater.runtime"), "propagate", False)

    async def broken(event: Any) -> Any:
        raise ValueError("a sentence of somebody's document, and half a character: \ud83e")

    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    bench = Bench(ingest(embed=broken), "chunk+embed+upsert", tracer=provider.get_tracer("t"))
    await bench.publish(document("d1", "one"))
    await bench.engine.run()
    [said] = bench.said("receipts")
    assert isinstance(said.event, DocumentRejected)
    assert said.event.detail.endswith("somebody's document, and half a character: ?")
    shown = [span.status.description for span in exporter.get_finished_spans() if not span.status.is_ok]
    assert shown == ["bug: ValueError in stage embed"]


async def test_a_letter_can_be_replayed_where_it_came_from() -> None:
    bench = Bench(ingest(embed=one_bad), "chunk+embed+upsert")
    await bench.publish(document("d1", "bad"))
    await bench.engine.run()
    [letter] = bench.letters("chunks")
    mended = Bench(ingest(), "chunk|embed|upsert")
    await mended.write(f"{PREFIX}chunks", letter.value, key=letter.key, headers=letter.headers)
    await mended.engine.run()
    [receipt] = mended.said("receipts")
    assert isinstance(receipt.event, DocumentIndexed)
    assert not [name for name in receipt.headers if name.startswith("dlq-")]


async def test_headers_are_built_afresh_and_ids_repeat_with_the_work() -> None:
    async def twice() -> list[list[str]]:
        bench = Bench(ingest(), "chunk+embed+upsert")
        await bench.publish(document("d1", "a b"), headers={"secret": b"s", "traceparent": b"garbage"})
        await bench.engine.run()
        assert all("secret" not in said.headers for said in bench.said("receipts"))
        return [[said.headers["ce_id"] for said in bench.said("receipts")]]

    [first], [second] = await twice(), await twice()
    assert first == second
    assert len(set(first)) == 2


@pytest.mark.parametrize("segmentation", SEGMENTATIONS)
async def test_the_final_event_knows_every_stage_s_time(segmentation: str) -> None:
    async def slow(event: ChunksEmbedded) -> Any:
        bench.clock.slept.append(0.25)
        return await upsert(event)

    bench = Bench(ingest(upsert=slow), segmentation)
    await bench.publish(document("d1", "a"))
    bench.clock.slept.append(1.5)
    await bench.engine.run()
    [said] = bench.said("receipts")
    assert isinstance(said.event, DocumentIndexed)
    timings = said.event.timings
    assert timings["chunk.wait"] == 1500
    assert timings["upsert"] == 250
    assert {"chunk", "embed", "upsert"} <= set(timings)
    assert ("embed.wait" in timings) is (segmentation == "chunk|embed|upsert" or "|embed+" in segmentation)


@pytest.mark.parametrize("segmentation", SEGMENTATIONS)
async def test_one_trace_runs_through_every_stage(segmentation: str) -> None:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    bench = Bench(ingest(embed=one_bad), segmentation, tracer=provider.get_tracer("t"))
    trace = "0af7651916cd43dd8448eb211c80319c"
    await bench.publish(document("d1", "bad"), headers={"traceparent": f"00-{trace}-b7ad6b7169203331-01".encode()})
    await bench.publish(document("d2", "good"), headers={"traceparent": b"00-nonsense"})
    await bench.engine.run()

    spans = [span for span in exporter.get_finished_spans() if span.attributes is not None]
    first = [span for span in spans if span.attributes and span.attributes["headwater.document_id"] == "d1"]
    assert [span.name for span in first] == ["chunk process", "embed process"]
    assert {f"{span.context.trace_id:032x}" for span in first if span.context} == {trace}
    assert first[0].kind is SpanKind.CONSUMER
    assert first[1].parent is not None
    assert first[0].context is not None
    assert first[1].parent.span_id == first[0].context.span_id
    assert first[1].status.status_code is StatusCode.ERROR
    assert dlq(bench.letters("chunks")[0])["dlq-trace"] == trace
    rest = [span for span in spans if span not in first]
    assert [span.name for span in rest] == ["chunk process", "embed process", "upsert process"]
    assert len({span.context.trace_id for span in rest if span.context}) == 1
    assert all("good" not in str(value) for span in spans for value in (span.attributes or {}).values())
    receipt = next(said for said in bench.said("receipts") if isinstance(said.event, DocumentIndexed))
    assert rest[2].context is not None
    assert f"{rest[2].context.trace_id:032x}-{rest[2].context.span_id:016x}" in receipt.headers["traceparent"]


async def test_an_output_over_the_limit_is_poison() -> None:
    async def inflate(event: Any) -> Any:
        [first, *_] = await chunk(event)
        assert isinstance(first, ChunksExtracted)
        return [ChunksEmbedded.after(first, model="m" * 200_000, dimensions=1, vectors=b"", embedded=0)]

    bench = Bench(ingest(chunk=inflate), "chunk|embed|upsert")
    await bench.publish(document())
    await bench.engine.run()
    [letter] = bench.letters("documents")
    assert dlq(letter)["dlq-code"] == "record-too-large"


async def test_a_retry_in_a_fused_stage_repeats_that_stage_alone() -> None:
    calls = {"chunk": 0, "embed": 0}

    async def counted(event: Any) -> Any:
        calls["chunk"] += 1
        return await chunk(event)

    async def flaky(event: Any) -> Any:
        calls["embed"] += 1
        if calls["embed"] < 3:
            raise Transient("busy", retry_after_s=7)
        return await embed(event)

    bench = Bench(ingest(chunk=counted, embed=flaky), "chunk+embed+upsert")
    await bench.publish(document("d1", "a"))
    await bench.engine.run()
    assert calls == {"chunk": 1, "embed": 3}
    assert bench.clock.slept == [7, 7]


async def test_a_question_s_failure_is_told_to_its_asker() -> None:
    async def picky(event: Any) -> Any:
        raise Poison("empty-question", "ask something")

    bench = Bench(query(retrieve=picky), "retrieve|rerank|generate")
    await bench.publish(question())
    await bench.engine.run()
    [reply] = bench.replies()
    assert getattr(reply.event, "code", "") == "empty-question"
    assert len(bench.letters("queries")) == 1
