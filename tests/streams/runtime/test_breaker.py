"""What opens the breaker, and what does not; on any sequence of outcomes it does as a naive model says."""

import asyncio
from collections.abc import Coroutine
from itertools import takewhile

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from streams.runtime.breaker import Breaker
from streams.runtime.errors import Fatal


def proven(breaker: Breaker) -> Breaker:
    breaker.works("chunk")
    return breaker


def test_it_opens_on_a_run_of_bugs() -> None:
    breaker = proven(Breaker(max_bugs=4))
    for _ in range(3):
        breaker.bug("chunk", "KeyError")
    breaker.works("chunk")
    for _ in range(3):
        breaker.bug("chunk", "KeyError")
    with pytest.raises(Fatal, match="breaker-open: 4 bugs in a row"):
        breaker.bug("chunk", "KeyError")


def test_it_opens_on_a_ratio_of_bugs() -> None:
    breaker = Breaker(max_bugs=100, max_unproven=100, max_ratio=0.5, window=10)
    for _ in range(4):
        breaker.works("chunk")
    for _ in range(5):
        breaker.bug("chunk", "KeyError")
    with pytest.raises(Fatal, match="6 bugs in 10 events"):
        breaker.bug("chunk", "KeyError")


def test_rare_bugs_leave_it_closed() -> None:
    breaker = Breaker()
    for number in range(1000):
        if number % 10:
            breaker.works("chunk")
        else:
            breaker.bug("chunk", "KeyError")


def test_what_works_in_one_stage_says_nothing_of_another() -> None:
    breaker = proven(Breaker(max_bugs=4))
    breaker.works("embed")
    for _ in range(3):
        breaker.works("chunk")
        breaker.bug("embed", "KeyError")
    with pytest.raises(Fatal, match="4 bugs in a row"):
        breaker.bug("embed", "KeyError")


def test_before_anything_worked_it_opens_soon() -> None:
    breaker = Breaker()
    for _ in range(2):
        breaker.bug("chunk", "KeyError")
    with pytest.raises(Fatal, match="3 bugs in a row"):
        breaker.bug("chunk", "KeyError")


async def test_one_tenant_s_poison_leaves_it_closed() -> None:
    breaker = Breaker()
    for _ in range(999):
        await breaker.poison("chunk", "a", "unreadable")


async def test_poison_without_end_opens_it_whoever_sends_it() -> None:
    breaker = proven(Breaker())
    for _ in range(999):
        await breaker.poison("chunk", "a", "unreadable")
    with pytest.raises(Fatal, match="1000 events in a row are poison in stage chunk, of 1 tenants"):
        await breaker.poison("chunk", "a", "unreadable")


async def test_another_s_single_bad_document_amid_an_import_of_them_leaves_it_closed() -> None:
    breaker = Breaker()
    for number in range(900):
        await breaker.poison("chunk", "b" if number in {300, 600} else "a", "unreadable")


async def test_where_the_events_are_at_fault_poison_does_not_count() -> None:
    breaker = Breaker(stops_at_poison=False)
    for number in range(5_000):
        await breaker.poison("chunk", f"tenant{number % 7}", "unreadable")


async def held(breaker: Breaker, tenants: str) -> list[asyncio.Task[None]]:
    """Poison that is found while something slow is in hand, as far as it comes."""

    async def one(tenant: str) -> None:
        with breaker.trying("chunk"):
            await breaker.poison("chunk", tenant, "unreadable")

    tasks = [asyncio.create_task(one(tenant)) for tenant in tenants]
    await asyncio.sleep(0.01)
    return tasks


async def test_what_works_behind_poison_that_was_found_faster_keeps_it_closed() -> None:
    breaker = Breaker()
    with breaker.trying("chunk"):
        tasks = await held(breaker, "abcdef")
        assert [task.done() for task in tasks] == [True, True, True, False, False, False]
        breaker.works("chunk")
    await asyncio.gather(*tasks)


async def test_it_opens_when_nothing_else_in_hand_worked() -> None:
    breaker = Breaker()
    with breaker.trying("chunk"):
        tasks = await held(breaker, "abcdef")
        assert not tasks[-1].done()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [type(None)] * 3 + [Fatal] * 3


async def test_a_slow_event_of_another_stage_holds_nothing_up() -> None:
    breaker = Breaker()
    with breaker.trying("embed"):
        tasks = await held(breaker, "abcdef")
        assert all(task.done() for task in tasks)
    assert {type(task.exception()) for task in tasks} == {type(None), Fatal}


def ended(work: Coroutine[object, None, None]) -> None:
    """Run what has nothing to wait for."""
    with pytest.raises(StopIteration):
        work.send(None)


class Model(RuleBasedStateMachine):
    """A breaker beside the list of all outcomes, which is judged anew each time."""

    def __init__(self) -> None:
        super().__init__()
        self.breaker = Breaker(max_bugs=4, window=12, max_poison=5, max_poison_alone=14, max_unproven=2)
        self.outcomes: dict[str, list[str]] = {"chunk": [], "embed": []}

    @rule(stage=st.sampled_from(("chunk", "embed")), outcome=st.sampled_from(("works", "bug", "a", "a", "b", "c")))
    def happens(self, stage: str, outcome: str) -> None:
        seen = self.outcomes[stage]
        seen.append(outcome)
        opens = False
        try:
            if outcome == "works":
                self.breaker.works(stage)
            elif outcome == "bug":
                self.breaker.bug(stage, "KeyError")
            else:
                ended(self.breaker.poison(stage, outcome, "unreadable"))
        except Fatal:
            opens = True
        assert opens is self.too_many(seen), seen

    @staticmethod
    def too_many(seen: list[str]) -> bool:
        """Whether the last outcome opens it."""
        since = list(takewhile(lambda outcome: outcome != "works", reversed(seen)))
        proven = "works" in seen
        if seen[-1] == "works":
            return False
        if seen[-1] == "bug":
            lately = seen[-12:]
            return since.count("bug") >= (4 if proven else 2) or (len(lately) == 12 and lately.count("bug") > 6)
        run = [outcome for outcome in since if outcome != "bug"]
        most = max(run.count(tenant) for tenant in run)
        return len(run) - most >= (5 if proven else 2) or len(run) >= 14


Model.TestCase.settings = settings(max_examples=200, stateful_step_count=60)
TestBreaker = Model.TestCase
