"""A question that finds too many waiting gets one QueryFailed at once, and costs no stage any work."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta

from schemas import PassagesRetrieved, QueryAsked, QueryFailed, QueryId
from streams.runtime.crowd import Crowd
from streams.runtime.engines.memory import MemoryEngine
from streams.runtime.interrupts import OVERLOADED
from tests.streams.runtime.engines.contract import until
from tests.streams.runtime.wiring import NOW, PREFIX, Bench, handler, query, question


class Slow:
    """A retrieve stage that works on nothing until it may."""

    def __init__(self) -> None:
        self.asked: list[QueryId] = []
        self.may = asyncio.Event()

    async def __call__(self, event: QueryAsked) -> Sequence[PassagesRetrieved]:
        self.asked.append(event.query_id)
        await self.may.wait()
        return [PassagesRetrieved(query=event, passages=())]


def crowded(slow: Slow, *, max_waiting: int) -> Bench:
    bench = Bench(query(retrieve=slow), "retrieve|rerank|generate")
    bench.engine = MemoryEngine(bench.broker, max_events=1)
    retrieve = handler(bench.segments[0], bench.broker, bench.clock, bench)
    crowd = Crowd(retrieve, max_waiting, bench.clock)
    bench.engine.host("g", f"{PREFIX}queries", retrieve, crowd=crowd)
    return bench


async def test_a_question_beyond_those_that_may_wait_fails_at_once_and_once() -> None:
    slow = Slow()
    bench = crowded(slow, max_waiting=2)
    await bench.publish(*(question(f"q{number}") for number in range(8)))
    running = asyncio.create_task(bench.engine.run())
    await until(lambda: len(bench.replies()) >= 5)
    failed = [said.event for said in bench.replies()]
    assert all(isinstance(event, QueryFailed) and event.code == OVERLOADED for event in failed)
    assert all(isinstance(event, QueryFailed) and event.retry_after_s == 1.0 for event in failed)
    assert len(slow.asked) == 1
    slow.may.set()
    await running
    assert len(slow.asked) == 3
    assert not {event.query_id for event in failed if isinstance(event, QueryFailed)} & set(slow.asked)
    assert sum(bench.broker.commits["g"].values()) == 8


async def test_a_late_question_among_those_refused_is_told_that_it_is_late() -> None:
    slow = Slow()
    bench = crowded(slow, max_waiting=1)
    await bench.publish(question("q0"))
    running = asyncio.create_task(bench.engine.run())
    await asyncio.sleep(0)
    await bench.publish(*(question(f"late{number}", deadline=NOW - timedelta(seconds=1)) for number in range(4)))
    slow.may.set()
    await running
    codes = [said.event.code for said in bench.replies() if isinstance(said.event, QueryFailed)]
    assert codes == ["deadline-exceeded"] * 4
    assert slow.asked == ["q0"]


async def test_what_is_no_question_is_a_dead_letter_however_many_wait() -> None:
    slow = Slow()
    bench = crowded(slow, max_waiting=1)
    await bench.publish(question("q0"), question("q1"))
    await bench.write(f"{PREFIX}queries", b"{", key=b"broken")
    running = asyncio.create_task(bench.engine.run())
    await asyncio.sleep(0.05)
    slow.may.set()
    await running
    assert len(bench.letters("queries")) == 1
    assert sum(bench.broker.commits["g"].values()) == 3


def test_the_pace_is_not_taken_while_nobody_waits() -> None:
    bench = Bench(query(), "retrieve|rerank|generate")
    crowd = Crowd(handler(bench.segments[0], bench.broker, bench.clock, bench), 10, bench.clock)
    crowd.served(5)
    bench.clock.slept.append(2.0)
    crowd.served(0)
    bench.clock.slept.append(3_600.0)
    crowd.served(3)
    assert crowd.retry_after_s(100) < 100 * 2.0
