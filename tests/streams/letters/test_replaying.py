"""Replaying on the memory engine: what is written, what is settled, and what a second run does."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from datetime import timedelta

import pytest

from processors.errors import Poison
from schemas import ChunksEmbedded, ChunksExtracted, PassagesRetrieved
from streams.letters import replaying
from streams.letters.letter import Place
from streams.letters.planning import Step
from streams.letters.replaying import Pace, Replayer
from streams.letters.selection import Selection
from streams.runtime.records import Outgoing
from tests.streams.letters.desk import EVERYTHING, Desk
from tests.streams.runtime import wiring
from tests.streams.runtime.wiring import MAX_BYTES, NOW, PREFIX, document, ingest, query, question

APART, FUSED = "chunk|embed|upsert", "chunk+embed+upsert"


class Embedding:
    """Cannot work until somebody mends it."""

    def __init__(self) -> None:
        self.broken = True

    async def __call__(self, event: ChunksExtracted) -> Sequence[ChunksEmbedded]:
        if self.broken:
            raise Poison("too-odd", f"slice {event.slice} is odd")
        return await wiring.embed(event)


@pytest.fixture
def embedding() -> Embedding:
    return Embedding()


async def failed(embedding: Embedding, segmentation: str = APART, *, slices: int = 1, **headers: bytes) -> Desk:
    """A desk with a letter for each slice of a document."""
    desk = Desk(ingest(embed=embedding), segmentation)
    await desk.bench.publish(document(text="word " * slices), headers=headers)
    await desk.bench.engine.run()
    assert len(desk.box().open) == slices
    return desk


async def test_a_replayed_letter_is_settled_and_its_record_works_once_the_cause_is_gone(embedding: Embedding) -> None:
    desk = await failed(embedding)
    embedding.broken = False
    assert await desk.replay() == []
    await desk.bench.engine.run()
    assert [type(said.event).__name__ for said in desk.bench.said("receipts")] == [
        "DocumentRejected",
        "DocumentIndexed",
    ]
    assert "too-odd" in desk.bench.said("receipts")[1].headers["hw-history"]
    box = desk.box()
    assert box.open == []
    assert [mark.how for _, mark in box.settled] == ["replayed"]


async def test_the_record_goes_back_byte_for_byte_with_what_it_went_through(embedding: Embedding) -> None:
    desk = await failed(embedding, traceparent=b"00-" + b"1" * 32 + b"-" + b"2" * 16 + b"-01")
    before, *_ = desk.bench.broker.records(f"{PREFIX}chunks")
    await desk.replay()
    _, after = desk.bench.broker.records(f"{PREFIX}chunks")
    assert (after.key, after.value, after.partition) == (before.key, before.value, before.partition)
    *kept, (name, history) = after.headers
    assert kept == list(before.headers)
    assert "traceparent" in dict(kept)
    assert name == "hw-history"
    assert b'"code":"too-odd"' in (history or b"")


async def test_a_second_replay_writes_nothing(embedding: Embedding) -> None:
    desk = await failed(embedding)
    (letter,) = desk.box().open
    await desk.replay()
    await desk.replay()
    await desk.replay(Selection(ids=frozenset({letter.id})))
    assert len(desk.bench.broker.records(f"{PREFIX}chunks")) == 2


@pytest.mark.parametrize("segmentation", [APART, FUSED])
async def test_what_fails_again_is_a_letter_with_the_whole_history(embedding: Embedding, segmentation: str) -> None:
    desk = await failed(embedding, segmentation)
    first = desk.box().open[0].failure
    for _ in range(2):
        desk.bench.clock.slept.append(60.0)
        await desk.replay()
        await desk.bench.engine.run()
    box = desk.box()
    (again,) = box.open
    assert [failure.time for failure in again.history] == [NOW.isoformat(), (NOW + timedelta(minutes=1)).isoformat()]
    assert again.history[0] == first
    assert again.time == NOW + timedelta(minutes=2)
    assert len(box.settled) == 2


async def test_letters_between_fused_stages_are_replayed_by_their_source_once(embedding: Embedding) -> None:
    desk = await failed(embedding, FUSED, slices=3)
    assert desk.plan().steps == [Step(tuple(desk.box().open), "documents", Place("documents", *at(desk)))]
    embedding.broken = False
    await desk.replay()
    await desk.bench.engine.run()
    assert len(desk.bench.broker.records(f"{PREFIX}documents")) == 2
    assert Counter(type(said.event).__name__ for said in desk.bench.said("receipts")) == {
        "DocumentRejected": 3,
        "DocumentIndexed": 3,
    }
    assert desk.box().open == []


async def test_a_record_that_was_put_aside_again_is_replayed_once(embedding: Embedding) -> None:
    desk = await failed(embedding)
    topic = f"{PREFIX}chunks-dlq"
    (letter,) = desk.bench.broker.records(topic)
    again = Outgoing(topic=topic, key=letter.key, value=letter.value, headers=list(letter.headers))
    await (await desk.bench.broker.send(again))
    assert [len(step.letters) for step in desk.plan().steps] == [2]
    await desk.replay()
    assert len(desk.bench.broker.records(f"{PREFIX}chunks")) == 2
    assert desk.box().open == []


def at(desk: Desk) -> tuple[int, int]:
    (record,) = desk.bench.broker.records(f"{PREFIX}documents")
    return record.partition, record.offset


async def test_a_source_that_is_not_kept_any_more_is_a_refusal_that_says_so(embedding: Embedding) -> None:
    desk = await failed(embedding, FUSED)
    partition, offset = at(desk)
    desk.log.delete({("documents", partition): offset + 1})
    made = desk.plan()
    assert made.steps == []
    assert f"documents/{partition}/{offset}, is not kept any more" in made.refusals[0].reason
    assert "no stage reads 'chunks' under the present segments" in made.refusals[0].reason


async def test_a_source_that_goes_between_plan_and_replay_leaves_its_letter_open(embedding: Embedding) -> None:
    desk = await failed(embedding, FUSED)
    partition, offset = at(desk)
    starts = desk.log.starts
    desk.log.delete({("documents", partition): offset + 1})
    desk.log.starts = lambda topics: {**starts(topics), ("documents", partition): 0}  # type: ignore[method-assign]
    assert [refusal.reason for refusal in await desk.replay()] == ["its record is not kept any more"]
    assert len(desk.box().open) == 1


async def test_a_value_that_did_not_fit_its_letter_comes_from_the_source() -> None:
    async def refuse(_: object) -> Sequence[ChunksExtracted]:
        raise Poison("too-odd", "odd")

    desk = Desk(ingest(chunk=refuse), APART)
    desk.bench.broker.limits[f"{PREFIX}documents-dlq"] = MAX_BYTES // 100
    await desk.bench.publish(document(text="word " * 1000))
    await desk.bench.engine.run()
    (step,) = desk.plan().steps
    assert step.source == Place("documents", *at(desk))
    await desk.replay()
    before, after = desk.bench.broker.records(f"{PREFIX}documents")
    assert before.value == after.value


async def test_a_letter_whose_stage_nobody_reads_any_more_needs_other_segments(embedding: Embedding) -> None:
    desk = await failed(embedding, "chunk|embed+upsert")
    desk.bench.segments = tuple(segment for segment in desk.bench.segments if segment.name == "chunk")
    (refusal,) = desk.plan().refusals
    assert "no stage reads 'chunks'" in refusal.reason
    assert "set segments that do" in refusal.reason


async def test_late_questions_are_left_out_unless_they_are_named() -> None:
    async def rerank(_: PassagesRetrieved) -> Sequence[PassagesRetrieved]:
        raise Poison("too-odd", "odd")

    desk = Desk(query(rerank=rerank), "retrieve|rerank|generate")
    await desk.bench.publish(question("q1", deadline=NOW + timedelta(seconds=5)), question("q2"))
    await desk.bench.engine.run()
    letters = {letter.key: letter for letter in desk.box().open}
    later = NOW + timedelta(seconds=6)
    made = desk.plan(now=later)
    assert [letter.key for letter in made.late] == ["q1"]
    assert [step.letters[0].key for step in made.steps] == ["q2"]
    assert {step.letters[0].key for step in desk.plan(now=NOW).steps} == {"q1", "q2"}
    assert len(desk.plan(Selection(ids=frozenset({letters["q1"].id}))).steps) == 1


async def many(count: int) -> Desk:
    """A desk with so many letters of one document, each its own version."""

    async def refuse(_: object) -> Sequence[ChunksExtracted]:
        raise Poison("too-odd", "odd")

    desk = Desk(ingest(chunk=refuse), APART)
    await desk.bench.publish(*(document(version=version + 1) for version in range(count)))
    await desk.bench.engine.run()
    return desk


def values(desk: Desk, topic: str = "documents") -> list[bytes | None]:
    return [record.value for record in desk.bench.broker.records(PREFIX + topic)]


async def test_one_key_keeps_its_order() -> None:
    desk = await many(120)
    published = values(desk)
    await desk.replay()
    assert values(desk) == published * 2


async def test_an_interrupted_replay_leaves_each_letter_settled_or_open_and_the_next_one_goes_on() -> None:
    desk = await many(120)
    desk.on_done = lambda _: desk.stop.set()
    await desk.replay()
    box = desk.box()
    assert 0 < len(box.settled) < 120
    assert len(box.settled) + len(box.open) == 120
    assert len(values(desk)) == 120 + len(box.settled)
    desk.stop.clear()
    await desk.replay()
    desk.stop.clear()
    await desk.replay()
    assert desk.box().open == []
    assert set(Counter(values(desk)).values()) == {2}


async def test_a_broker_that_goes_in_the_middle_ends_the_replay_and_the_next_one_goes_on() -> None:
    desk = await many(120)
    desk.on_done = lambda _: desk.bench.broker.broken.add(f"{PREFIX}documents")
    with pytest.raises(ConnectionError):
        await desk.replay()
    settled = len(desk.box().settled)
    assert 0 < settled < 120
    assert len(values(desk)) == 120 + settled
    desk.bench.broker.broken.clear()
    desk.on_done = lambda _: None
    await desk.replay()
    assert set(Counter(values(desk)).values()) == {2}


async def test_a_mark_that_is_not_written_leaves_its_letter_open(embedding: Embedding) -> None:
    desk = await failed(embedding)
    desk.bench.broker.broken.add(f"{PREFIX}letters-settled")
    with pytest.raises(ConnectionError):
        await desk.replay()
    assert len(desk.box().open) == 1


async def test_who_lost_the_turn_writes_nothing_more(embedding: Embedding) -> None:
    desk = await failed(embedding)
    plan = desk.plan()

    def check() -> None:
        raise ConnectionError("another's turn")

    replayer = Replayer(log=desk.log, broker=desk.bench.broker, prefix=PREFIX, clock=desk.bench.clock, check=check)
    with pytest.raises(ConnectionError, match="another's turn"):
        await replayer.run(plan, pace=Pace(), stop=asyncio.Event(), on_done=lambda _: None)
    assert len(desk.bench.broker.records(f"{PREFIX}chunks")) == 1


@pytest.mark.parametrize("per_s", [0.5, 10.0, 100.0])
async def test_a_rate_is_kept_and_nothing_is_caught_up_after_a_pause(per_s: float) -> None:
    desk = await many(30)
    times: list[float] = []

    def on_done(_: Step) -> None:
        times.append(desk.bench.clock.monotonic())
        if len(times) == 10:
            desk.bench.clock.slept.append(100.0)  # the broker was slow

    desk.on_done = on_done
    await desk.replay(per_s=per_s)
    at_once = max(1.0, per_s * 0.5)
    for first, begun_s in enumerate(times):
        for number, at_s in enumerate(times[first:], start=1):
            assert number <= (at_s - begun_s) * per_s + at_once + 1e-6
    assert times[-1] - times[0] <= 30 / per_s + 100.0


async def test_what_no_topic_takes_is_a_refusal(embedding: Embedding) -> None:
    desk = await failed(embedding)
    desk.bench.broker.limits[f"{PREFIX}chunks"] = 10
    (refusal,) = await desk.replay(EVERYTHING)
    assert "bytes for 'p.chunks'" in refusal.reason
    assert len(desk.box().open) == 1


async def test_large_records_are_not_all_in_memory_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replaying, "BATCH_BYTES", 1_000)
    desk = await many(40)
    desk.on_done = lambda _: desk.stop.set()
    await desk.replay()
    sizes = [letter.size_bytes for letter, _ in desk.box().settled]
    assert sum(sizes[:-1]) < 1_000 <= sum(sizes)
