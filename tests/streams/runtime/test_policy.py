"""What becomes of an error: the table of the architecture, each row on the memory engine."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest

from processors.errors import Poison, Transient
from schemas import (
    AnswerDelta,
    ChunksEmbedded,
    ChunksExtracted,
    DocumentIndexed,
    DocumentPublished,
    DocumentRejected,
    Event,
    PassagesRanked,
    QueryFailed,
    Tenant,
)
from streams.runtime.errors import Fatal
from tests.streams.runtime.wiring import (
    PREFIX,
    Bench,
    Stages,
    chunk,
    dlq,
    document,
    embed,
    generate,
    ingest,
    query,
    question,
    upsert,
)

Embed = Callable[[ChunksExtracted], Awaitable[Sequence[ChunksEmbedded]]]


def failing(error: BaseException, *, times: int = 1_000_000) -> Embed:
    left = times

    async def processor(event: ChunksExtracted) -> Sequence[ChunksEmbedded]:
        nonlocal left
        left -= 1
        if left >= 0 and event.chunks[0].text == "bad":
            raise error
        return await embed(event)

    return processor


@dataclass(frozen=True)
class Row:
    raised: BaseException | None
    times: int = 1_000_000
    dead_letter: str | None = None
    """Its code."""
    fatal: str | None = None
    """Code of what the engine raises."""
    committed: bool = True
    broken: tuple[str, ...] = ()


ROWS = {
    "poison": Row(Poison("too-odd", "this chunk is odd"), dead_letter="too-odd"),
    "transient": Row(Transient("busy"), times=3),
    "transient-beyond-its-budget": Row(Transient("down"), fatal="transient-budget", committed=False),
    "bug": Row(KeyError("oops"), dead_letter="bug"),
    "dead-letter-write-fails": Row(
        Poison("odd", "odd"), fatal="dead-letter-failed", committed=False, broken=(f"{PREFIX}chunks-dlq",)
    ),
    "nothing": Row(None),
}


@pytest.mark.parametrize("segmentation", ["chunk|embed|upsert", "chunk+embed+upsert"])
@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
async def test_each_row_of_the_table(row: Row, segmentation: str) -> None:
    processor = embed if row.raised is None else failing(row.raised, times=row.times)
    bench = Bench(ingest(embed=processor), segmentation)
    bench.broker.broken.update(row.broken)
    await bench.publish(document("d1", "good bad good"))
    if row.fatal is None:
        await bench.engine.run()
    else:
        with pytest.raises(Fatal) as stopped:
            await bench.engine.run()
        assert stopped.value.code == row.fatal

    letters = [dlq(letter) for letter in bench.letters("chunks")]
    assert [letter["dlq-code"] for letter in letters] == ([] if row.dead_letter is None else [row.dead_letter])
    rejected = [said.event for said in bench.said("receipts") if isinstance(said.event, DocumentRejected)]
    assert [event.code for event in rejected] == [letter["dlq-code"] for letter in letters]
    failed = next(segment for segment in bench.segments if any(stage.name == "embed" for stage in segment.stages))
    position = sum(bench.broker.commits[failed.group(PREFIX)].values())
    written = len(bench.broker.records(PREFIX + failed.source.name))
    assert (position == written) is row.committed
    if row.committed:
        indexed = [said for said in bench.said("receipts") if not isinstance(said.event, DocumentRejected)]
        assert len(indexed) == 3 - len(letters)


async def test_an_undecodable_record_becomes_a_dead_letter_and_nothing_else() -> None:
    bench = Bench(ingest(), "chunk|embed|upsert")
    odd = [("ce_type", b"headwater.document-published.v1"), ("x", b"\xff\x00"), ("x", None), ("dlq-code", b"old")]
    await bench.write(f"{PREFIX}documents", b"{not json", key=b"\xfe", headers=odd)
    await bench.publish(document("d1", "good"))
    await bench.engine.run()

    [letter] = bench.letters("documents")
    assert (letter.key, letter.value) == (b"\xfe", b"{not json")
    assert list(letter.headers[:3]) == odd[:3]
    assert dlq(letter)["dlq-code"] == "schema"
    assert dlq(letter)["dlq-source-topic"] == f"{PREFIX}documents"
    assert len(bench.said("receipts")) == 1


async def test_bugs_in_a_row_open_the_breaker_and_leave_the_record_uncommitted() -> None:
    async def broken(event: Any) -> Any:
        raise ValueError("a bad deploy")

    bench = Bench(ingest(chunk=broken), "chunk|embed|upsert")
    await bench.publish(*(document(f"d{number}") for number in range(10)))
    with pytest.raises(Fatal) as stopped:
        await bench.engine.run()
    assert stopped.value.code == "breaker-open"
    assert len(bench.letters("documents")) == 2
    assert sum(bench.broker.commits[f"{PREFIX}headwater-chunk"].values()) <= 2


async def unreadable(event: Any) -> Any:
    raise Poison("unreadable", "a parser that is not there")


def published_by(*tenants: str) -> list[DocumentPublished]:
    return [replace(document(f"d{number}"), tenant=Tenant(tenant)) for number, tenant in enumerate(tenants)]


@pytest.mark.parametrize("segmentation", ["chunk|embed|upsert", "chunk+embed+upsert"])
@pytest.mark.parametrize("stage", ["chunk", "embed", "upsert"])
async def test_poison_of_all_tenants_opens_the_breaker_and_leaves_the_record_uncommitted(
    stage: str, segmentation: str
) -> None:
    bench = Bench(ingest(**{stage: unreadable}), segmentation)
    await bench.publish(*published_by(*("a", "b") * 20))
    with pytest.raises(Fatal, match=rf"are poison in stage {stage}, of 2 tenants; the last: unreadable"):
        await bench.engine.run()
    letters = [letter for topic in ("documents", "chunks", "vectors") for letter in bench.letters(topic)]
    assert 0 < len(letters) <= 20
    failed = next(segment for segment in bench.segments if any(each.name == stage for each in segment.stages))
    assert sum(bench.broker.commits[failed.group(PREFIX)].values()) <= len(letters)


async def test_poison_of_one_tenant_is_put_aside_and_stops_nobody() -> None:
    async def moody(event: DocumentPublished) -> Any:
        return await (unreadable if event.tenant == "a" else chunk)(event)

    bench = Bench(ingest(chunk=moody), "chunk|embed|upsert")
    await bench.publish(*published_by(*"a" * 400, "b"))
    await bench.engine.run()
    assert len(bench.letters("documents")) == 400
    assert sum(isinstance(said.event, DocumentIndexed) for said in bench.said("receipts")) == 2  # one per word


async def test_records_that_nobody_can_decode_count_as_poison_of_their_tenants() -> None:
    bench = Bench(ingest(), "chunk|embed|upsert")
    for number in range(20):
        await bench.write(f"{PREFIX}documents", b"{not json", key=b"ab"[number % 2 : number % 2 + 1] + b"/d")
    with pytest.raises(Fatal, match="breaker-open"):
        await bench.engine.run()


async def test_cancellation_leaves_the_record_uncommitted() -> None:
    started = asyncio.Event()

    async def slow(event: Any) -> Any:
        started.set()
        await asyncio.Event().wait()

    bench = Bench(ingest(chunk=slow), "chunk|embed|upsert")
    await bench.publish(document())
    running = asyncio.create_task(bench.engine.run())
    await started.wait()
    await bench.engine.stop()
    await running
    assert not bench.letters("documents")
    assert not bench.broker.commits[f"{PREFIX}headwater-chunk"]


async def test_a_dead_letter_counts_its_attempts() -> None:
    errors = [Transient("busy"), Transient("busy"), Poison("odd", "odd after all")]

    async def moody(event: Any) -> Any:
        raise errors.pop(0)

    bench = Bench(ingest(chunk=moody), "chunk|embed|upsert")
    await bench.publish(document())
    await bench.engine.run()
    assert dlq(bench.letters("documents")[0])["dlq-attempts"] == "3"


async def test_a_value_that_no_longer_fits_is_left_where_it_is() -> None:
    bench = Bench(ingest(), "chunk|embed|upsert")
    bench.broker.limits[f"{PREFIX}documents-dlq"] = 1_000
    await bench.write(f"{PREFIX}documents", b"x" * 5_000, key=b"k")
    await bench.engine.run()
    [letter] = bench.letters("documents")
    assert (letter.key, letter.value) == (b"k", None)
    assert dlq(letter)["dlq-omitted-bytes"] == "5000"
    assert dlq(letter)["dlq-source-offset"] == "0"


async def silent(event: Event) -> Sequence[Any]:
    """A stage that ends as if all were well."""
    return []


async def half_an_answer(event: PassagesRanked) -> AsyncIterator[AnswerDelta]:
    """A stream that breaks off before its final event."""
    async for output in generate(event):
        if isinstance(output, AnswerDelta):
            yield output


@pytest.mark.parametrize("segmentation", ["chunk|embed|upsert", "chunk+embed+upsert"])
@pytest.mark.parametrize(("stage", "topic"), [("chunk", "documents"), ("embed", "chunks"), ("upsert", "vectors")])
async def test_a_document_that_a_stage_says_nothing_about_is_rejected(
    stage: str, topic: str, segmentation: str
) -> None:
    bench = Bench(ingest(**{stage: silent}), segmentation)
    await bench.publish(document("d1", "good"))
    await bench.engine.run()
    [letter] = bench.letters(topic)
    assert (dlq(letter)["dlq-code"], dlq(letter)["dlq-stage"]) == ("no-output", stage)
    [rejected] = bench.said("receipts")
    assert isinstance(rejected.event, DocumentRejected)
    assert rejected.event.code == "no-output"


@pytest.mark.parametrize("segmentation", ["retrieve|rerank|generate", "retrieve+rerank+generate"])
@pytest.mark.parametrize(
    "replaced", [{"retrieve": silent}, {"rerank": silent}, {"generate": silent}, {"generate": half_an_answer}]
)
async def test_a_question_without_a_final_event_fails(replaced: Stages, segmentation: str) -> None:
    bench = Bench(query(**replaced), segmentation)
    await bench.publish(question())
    await bench.engine.run()
    *deltas, last = [said.event for said in bench.replies()]
    assert isinstance(last, QueryFailed)
    assert last.code == "no-output"
    assert all(isinstance(delta, AnswerDelta) for delta in deltas)


async def test_slices_before_the_last_need_no_receipt() -> None:
    async def gathering(event: ChunksEmbedded) -> Sequence[Any]:
        return await upsert(event) if event.slice == event.slices - 1 else []

    bench = Bench(ingest(upsert=gathering), "chunk|embed|upsert")
    await bench.publish(document("d1", "one two three"))
    await bench.engine.run()
    assert len(bench.said("receipts")) == 1
    assert not bench.letters("vectors")
