"""Permits: never more than the server takes, questions first, nothing lost on the way."""

import asyncio
from contextlib import AsyncExitStack

import pytest

from processors.backends.tei.permits import Permits


class Caller:
    """Holds permits until told to give them back."""

    def __init__(self, permits: Permits, texts: int, *, ahead: bool = False) -> None:
        self.holds, self._enough = asyncio.Event(), asyncio.Event()
        self.task = asyncio.create_task(self._hold(permits, texts, ahead))

    async def _hold(self, permits: Permits, texts: int, ahead: bool) -> None:
        async with permits.held(texts, ahead=ahead):
            self.holds.set()
            await self._enough.wait()

    async def give_back(self) -> None:
        self._enough.set()
        await self.task
        await settled()

    async def cancel(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)
        await settled()


async def settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_passages_wait_when_what_they_may_use_is_taken_and_come_in_order() -> None:
    permits = Permits(16, reserve=4)
    first, second, third = Caller(permits, 8), Caller(permits, 8), Caller(permits, 2)
    await settled()
    assert (first.holds.is_set(), second.holds.is_set(), third.holds.is_set()) == (True, False, False)
    await first.give_back()
    assert second.holds.is_set()
    assert third.holds.is_set()
    await second.give_back()
    await third.give_back()
    assert permits.taken == 0


async def test_a_question_uses_the_reserve_and_goes_before_passages_that_wait() -> None:
    permits = Permits(16, reserve=4)
    bulk, more = Caller(permits, 12), Caller(permits, 12)
    asked, again = Caller(permits, 4, ahead=True), Caller(permits, 1, ahead=True)
    await settled()
    assert asked.holds.is_set()
    assert not again.holds.is_set()
    await asked.give_back()
    assert again.holds.is_set()
    assert not more.holds.is_set()
    for caller in (again, bulk, more):
        await caller.give_back()
    assert permits.taken == 0


@pytest.mark.parametrize("limit", [1, 2, 3, 5])
async def test_a_server_of_few_permits_still_serves_both(limit: int) -> None:
    permits = Permits(limit, reserve=32)
    assert 1 <= permits.longest <= limit
    for texts, ahead in ((permits.longest, False), (limit, True)):
        caller = Caller(permits, texts, ahead=ahead)
        await settled()
        assert caller.holds.is_set()
        await caller.give_back()


async def test_who_is_cancelled_while_waiting_holds_nothing_and_stops_nobody() -> None:
    permits = Permits(8)
    first, large, small = Caller(permits, 6), Caller(permits, 8), Caller(permits, 2)
    await settled()
    assert not small.holds.is_set()
    await large.cancel()
    assert small.holds.is_set()
    granted = Caller(permits, 8)
    await settled()
    first._enough.set()
    small._enough.set()
    granted.task.cancel()  # in the moment in which it is its turn
    await asyncio.gather(first.task, small.task, granted.task, return_exceptions=True)
    assert permits.taken == 0


async def test_refusals_halve_what_is_used_once_and_answers_bring_it_back() -> None:
    permits = Permits(64)
    async with AsyncExitStack() as stack:
        for _ in range(4):
            await stack.enter_async_context(permits.held(16, ahead=False))
        for now in (10.0, 10.1, 10.2):  # sent together, refused together
            permits.refused(now)
    async with permits.held(32, ahead=False):
        waiting = Caller(permits, 16)
        await settled()
        assert not waiting.holds.is_set()
        permits.answered(128)
    await settled()
    async with permits.held(32, ahead=False):
        assert waiting.holds.is_set()
        await waiting.give_back()


async def test_a_list_beyond_what_is_used_for_the_moment_goes_alone() -> None:
    permits = Permits(32)
    async with permits.held(32, ahead=False):
        permits.refused(10.0)
    async with permits.held(32, ahead=False):
        assert permits.taken == 32
