"""A question whose versions are not visible yet waits for them, costs little, and stands in nobody's way."""

import asyncio
import logging
from collections.abc import Sequence
from datetime import timedelta

import pytest

from processors.errors import NotYet, Transient
from schemas import AnswerCompleted, PassagesRetrieved, QueryAsked, QueryFailed, QueryId
from tests.streams.runtime.wiring import NOW, Bench, ManualClock, query, question, retrieve

SEGMENTATIONS = ["retrieve|rerank|generate", "retrieve+rerank+generate"]
REASON = "version 3 of 'handbook' is not visible, version 2 is"


class Shelf:
    """A retrieve stage whose document becomes visible at a time, or never."""

    def __init__(self, clock: ManualClock, *, visible_s: float, wait_s: float = 5.0) -> None:
        self.clock = clock
        self.visible_s = visible_s
        self.wait_s = wait_s
        self.asked = 0
        self.outages: list[Transient] = []

    async def __call__(self, event: QueryAsked) -> Sequence[PassagesRetrieved]:
        self.asked += 1
        if self.clock.monotonic() < self.visible_s:
            raise NotYet("not-visible", REASON, wait_s=self.wait_s)
        if self.outages:
            raise self.outages.pop()
        return [PassagesRetrieved(query=event, passages=())]


def failures(bench: Bench) -> list[QueryFailed]:
    return [said.event for said in bench.replies() if isinstance(said.event, QueryFailed)]


def answered(bench: Bench) -> set[str]:
    return {said.event.key for said in bench.replies() if isinstance(said.event, AnswerCompleted)}


@pytest.mark.parametrize("segmentation", SEGMENTATIONS)
async def test_a_question_waits_until_its_versions_are_visible(
    segmentation: str, caplog: pytest.LogCaptureFixture
) -> None:
    clock = ManualClock()
    shelf = Shelf(clock, visible_s=4.0)
    bench = Bench(query(retrieve=shelf), segmentation, clock=clock)
    await bench.publish(question())
    with caplog.at_level(logging.WARNING):
        await bench.engine.run()
    assert answered(bench) == {"q1"}
    assert 4.0 <= clock.monotonic() <= 4.5
    assert shelf.asked < 50
    assert not caplog.records  # nothing is wrong, so nobody is told


@pytest.mark.parametrize("wait_s", [0.0, 0.01, 5.0, 60.0])
async def test_a_version_that_never_becomes_visible_fails_the_question_at_its_bound(wait_s: float) -> None:
    clock = ManualClock()
    shelf = Shelf(clock, visible_s=1e9, wait_s=wait_s)
    bench = Bench(query(retrieve=shelf), SEGMENTATIONS[0], clock=clock)
    await bench.publish(question())
    await bench.engine.run()
    [failed] = failures(bench)
    assert (failed.stage, failed.code) == ("retrieve", "not-visible")
    assert failed.detail == f"{REASON}; the question waited {wait_s:.1f} s for it"
    assert clock.monotonic() == pytest.approx(wait_s)
    assert not bench.letters("queries")
    assert shelf.asked <= 170


async def test_a_deadline_before_the_bound_ends_the_wait_with_what_is_visible() -> None:
    clock = ManualClock()
    bench = Bench(query(retrieve=Shelf(clock, visible_s=10.0, wait_s=60.0)), SEGMENTATIONS[0], clock=clock)
    await bench.publish(question(deadline=NOW + timedelta(seconds=3)))
    await bench.engine.run()
    [failed] = failures(bench)
    assert (failed.code, failed.detail.startswith(REASON)) == ("not-visible", True)
    assert 2.5 <= clock.monotonic() <= 3.0


async def test_an_outage_while_waiting_is_retried_and_the_wait_keeps_its_bound() -> None:
    clock = ManualClock()
    shelf = Shelf(clock, visible_s=2.0)
    shelf.outages = [Transient("the index is away")] * 3
    bench = Bench(query(retrieve=shelf), SEGMENTATIONS[0], clock=clock)
    await bench.publish(question())
    await bench.engine.run()
    assert answered(bench) == {"q1"}


async def test_a_service_that_is_busy_after_a_long_wait_is_given_its_time() -> None:
    clock = ManualClock()
    shelf = Shelf(clock, visible_s=30.0, wait_s=60.0)
    shelf.outages = [Transient("busy", retry_after_s=2.0)]
    bench = Bench(query(retrieve=shelf), SEGMENTATIONS[0], clock=clock)
    await bench.publish(question())
    await bench.engine.run()
    assert answered(bench) == {"q1"}


class Standing(ManualClock):
    """Time that stands still until somebody lets it go."""

    def __init__(self) -> None:
        super().__init__()
        self.sleeping = 0
        self.go = asyncio.Event()

    async def sleep(self, delay_s: float) -> None:
        self.sleeping += 1
        await self.go.wait()
        self.slept.append(delay_s)
        self.sleeping -= 1


async def until_asleep(clock: Standing, count: int) -> None:
    while clock.sleeping < count:  # noqa: ASYNC110 - the clock tells nobody
        await asyncio.sleep(0)


async def test_a_question_that_is_withdrawn_while_it_waits_ends_at_once() -> None:
    clock = Standing()
    bench = Bench(query(retrieve=Shelf(clock, visible_s=1e9)), SEGMENTATIONS[0], clock=clock)
    await bench.publish(question())
    running = asyncio.create_task(bench.engine.run())
    await until_asleep(clock, 1)
    bench.cancelled.add(QueryId("q1"))
    await running
    assert [failed.code for failed in failures(bench)] == ["cancelled"]


class Unpublished(Shelf):
    """Only questions whose id begins with w ask for what is not there."""

    async def __call__(self, event: QueryAsked) -> Sequence[PassagesRetrieved]:
        return await super().__call__(event) if event.query_id.startswith("w") else await retrieve(event)


async def test_questions_that_wait_leave_the_window_to_others() -> None:
    clock = Standing()
    bench = Bench(query(retrieve=Unpublished(clock, visible_s=0.5)), SEGMENTATIONS[0], clock=clock)
    await bench.publish(*(question(f"w{number}") for number in range(100)))  # the window holds 64
    running = asyncio.create_task(bench.engine.run())
    await until_asleep(clock, 100)
    # The memory engine goes on to the next topic only once it has read this one: its window must take them all.
    await bench.publish(*(question(f"q{number}") for number in range(100)))
    clock.go.set()
    await running
    assert len(answered(bench)) == 200


async def test_more_questions_than_may_wait_are_told_when_to_ask_again() -> None:
    clock = Standing()
    bench = Bench(query(retrieve=Unpublished(clock, visible_s=0.5)), SEGMENTATIONS[0], clock=clock)
    await bench.publish(*(question(f"w{number}") for number in range(300)), question("q1"))
    running = asyncio.create_task(bench.engine.run())
    await until_asleep(clock, 256)
    while len(failures(bench)) < 44:  # noqa: ASYNC110 - the bench tells nobody
        await asyncio.sleep(0)
    assert {(failed.code, failed.retry_after_s) for failed in failures(bench)} == {("overloaded", 1.0)}
    clock.go.set()
    await running
    assert len(answered(bench)) == 257
    assert max(clock.slept) == pytest.approx(256 * 0.005)  # together they ask 200 times a second
    assert len(failures(bench)) == 44
