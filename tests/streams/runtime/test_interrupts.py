"""A question that is late or withdrawn gets exactly one QueryFailed, and costs nothing from then on."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from processors.errors import Poison
from schemas import AnswerCompleted, AnswerDelta, PassagesRanked, QueryFailed, QueryId, ReplyTo, Tenant
from streams.runtime.interrupts import Cancelled
from tests.streams.runtime.wiring import NOW, PREFIX, Bench, ManualClock, completed, query, question, retrieve

SEGMENTATIONS = ["retrieve|rerank|generate", "retrieve+rerank+generate"]
Q = QueryId("q1")


def failed(bench: Bench) -> list[str]:
    return [said.event.code for said in bench.replies() if isinstance(said.event, QueryFailed)]


@pytest.mark.parametrize("segmentation", SEGMENTATIONS)
async def test_a_question_past_its_deadline_fails_once_before_any_work(segmentation: str) -> None:
    async def never(event: Any) -> Any:
        raise AssertionError("the work was done all the same")

    bench = Bench(query(retrieve=never), segmentation)
    await bench.publish(question(deadline=NOW - timedelta(seconds=1)))
    await bench.engine.run()
    assert failed(bench) == ["deadline-exceeded"]
    assert len(bench.replies()) == 1
    assert not bench.letters("queries")


@pytest.mark.parametrize("segmentation", SEGMENTATIONS)
async def test_a_withdrawn_question_fails_once_before_any_work(segmentation: str) -> None:
    bench = Bench(query(), segmentation)
    bench.cancelled.add(Q)
    await bench.publish(question(), question("q2"))
    await bench.engine.run()
    assert failed(bench) == ["cancelled"]
    assert [type(said.event) for said in bench.replies() if said.event.key == "q2"][-1] is AnswerCompleted


async def test_a_deadline_during_the_work_stops_the_work() -> None:
    stopped = asyncio.Event()

    async def slow(event: Any) -> Any:
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()

    bench = Bench(query(retrieve=slow), SEGMENTATIONS[0])
    await bench.publish(question(deadline=NOW + timedelta(seconds=0.05)))
    await bench.engine.run()
    assert stopped.is_set()
    assert failed(bench) == ["deadline-exceeded"]


async def test_a_withdrawal_during_a_generation_closes_it_where_it_runs() -> None:
    started, closed = asyncio.Event(), asyncio.Event()

    async def endless(event: PassagesRanked) -> AsyncIterator[AnswerDelta]:
        index = 0
        try:
            while True:
                yield AnswerDelta(query_id=event.query.query_id, attempt="a", index=index, text="and ")
                index += 1
                started.set()
                await asyncio.sleep(0)
        finally:
            closed.set()

    bench = Bench(query(generate=endless), SEGMENTATIONS[0])
    await bench.publish(question())
    running = asyncio.create_task(bench.engine.run())
    await started.wait()
    bench.cancelled.add(Q)
    await running
    assert closed.is_set()
    assert failed(bench) == ["cancelled"]
    assert isinstance(bench.replies()[-1].event, QueryFailed)
    assert not bench.letters("evidence")


async def test_a_withdrawal_after_the_final_answer_changes_nothing() -> None:
    bench = Bench(query(), SEGMENTATIONS[0])

    async def late(event: PassagesRanked) -> AsyncIterator[Any]:
        yield completed(event.query.query_id)
        raise AssertionError("nothing is asked for after the final answer")

    bench = Bench(query(generate=late), SEGMENTATIONS[0])
    await bench.publish(question())
    await bench.engine.run()
    bench.cancelled.add(Q)
    await bench.engine.run()
    assert [type(said.event) for said in bench.replies()] == [AnswerCompleted]


async def test_a_time_out_of_the_stage_itself_is_no_deadline() -> None:
    async def times_out(event: Any) -> Any:
        raise TimeoutError("a backend that forgot to translate")

    bench = Bench(query(retrieve=times_out), SEGMENTATIONS[0])
    await bench.publish(question(deadline=datetime.now(UTC) + timedelta(hours=1)))
    await bench.engine.run()
    assert failed(bench) == ["bug"]


async def test_a_missing_reply_address_is_found_before_any_work() -> None:
    asked: list[str] = []

    async def noted(event: Any) -> Any:
        asked.append(event.query_id)
        return await retrieve(event)

    bench = Bench(query(retrieve=noted), SEGMENTATIONS[0])
    await bench.publish(question(to=ReplyTo(topic="nowhere", partition=0)), question("q2"))
    await bench.publish(question("q3", to=ReplyTo(topic="replies", partition=99)))
    await bench.engine.run()
    assert asked == ["q2"]
    codes = [dict(letter.headers)["dlq-code"] for letter in bench.letters("queries")]
    assert codes == [b"reply-unreachable", b"reply-unreachable"]


async def test_callers_that_went_without_waiting_do_not_stop_the_worker() -> None:
    gone = ReplyTo(topic="nowhere", partition=0)
    bench = Bench(query(), SEGMENTATIONS[0])
    for number in range(50):
        await bench.publish(replace(question(f"q{number}", to=gone), tenant=Tenant(f"t{number % 2}")))
    await bench.publish(question("heard"))
    await bench.engine.run()
    assert len(bench.letters("queries")) == 50
    assert isinstance(bench.replies()[-1].event, AnswerCompleted)


async def test_questions_that_cannot_work_do_not_stop_the_worker_however_many_tenants_sign_them() -> None:
    async def picky(event: Any) -> Any:
        if event.query_id != "fine":
            raise Poison("empty-question", "the question has no text")
        return await retrieve(event)

    bench = Bench(query(retrieve=picky), SEGMENTATIONS[0])
    for number in range(50):
        await bench.publish(replace(question(f"q{number}"), tenant=Tenant(f"t{number % 5}")))
    await bench.publish(question("fine"))
    await bench.engine.run()
    assert len(bench.letters("queries")) == 50
    assert isinstance(bench.replies()[-1].event, AnswerCompleted)


async def test_replies_go_to_the_named_partition_in_order() -> None:
    bench = Bench(query(), SEGMENTATIONS[1])
    await bench.publish(question(to=ReplyTo(topic="replies", partition=2)))
    await bench.engine.run()
    assert [type(said.event).__name__ for said in bench.replies()] == ["AnswerDelta", "AnswerDelta", "AnswerCompleted"]
    assert {said.record.partition for said in bench.replies()} == {2}
    assert {said.record.key for said in bench.replies()} == {b"q1"}
    assert not bench.broker.records(f"{PREFIX}answers")


def test_withdrawals_are_forgotten_after_a_while_and_bounded() -> None:
    clock = ManualClock()
    cancelled = Cancelled(clock, keep_s=60, max_ids=2)
    for name in ("a", "b", "c"):
        cancelled.add(QueryId(name))
    assert [QueryId(name) in cancelled for name in ("a", "b", "c")] == [False, True, True]
    clock.slept.append(61)
    assert QueryId("c") not in cancelled
