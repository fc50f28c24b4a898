"""Retries in place, and when they end."""

import pytest

from processors.errors import Poison, Transient
from streams.runtime.errors import Fatal
from streams.runtime.retry import Retry
from tests.streams.runtime.wiring import ManualClock


async def run(retry: Retry, *errors: Exception) -> list[float]:
    clock = ManualClock()
    left = list(errors)

    async def attempt() -> None:
        if left:
            raise left.pop(0)

    await retry.run(attempt, clock=clock, on_retry=lambda *_: None)
    return clock.slept


async def test_delays_double_up_to_the_longest() -> None:
    retry = Retry(first_delay_s=1, max_delay_s=5, random=lambda: 1.0)
    assert await run(retry, *(Transient("busy") for _ in range(5))) == [1, 2, 4, 5, 5]


async def test_delays_are_spread_over_the_upper_half() -> None:
    retry = Retry(first_delay_s=2, random=lambda: 0.0)
    assert await run(retry, Transient("busy")) == [1]


async def test_a_service_s_own_wish_is_respected() -> None:
    assert await run(Retry(), Transient("busy", retry_after_s=30)) == [30]


async def test_a_wish_beyond_the_budget_gets_one_attempt_at_its_end() -> None:
    assert await run(Retry(budget_s=10), Transient("busy", retry_after_s=3600)) == [10]


async def test_beyond_the_budget_the_worker_stops() -> None:
    with pytest.raises(Fatal, match=r"transient-budget: down; gave up after"):
        await run(Retry(first_delay_s=1, budget_s=10), *(Transient("down") for _ in range(100)))


async def test_poison_is_not_retried() -> None:
    with pytest.raises(Poison):
        await run(Retry(), Poison("odd", "odd"))
