"""Retries of any sequence of outages: within the budget, never before the service asked, and none in vain."""

import asyncio
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from processors.errors import Poison, Transient
from streams.runtime.errors import Fatal
from streams.runtime.retry import Retry
from tests.streams.runtime.wiring import ManualClock

BUDGET_S, FIRST_S, MAX_S = 60.0, 0.5, 8.0


@dataclass
class Service:
    """Answers each attempt after a while, and remembers when it was asked."""

    clock: ManualClock
    answers: list[tuple[float, Exception | None]]
    asked: list[float] = field(default_factory=list)
    refused: list[tuple[float, float]] = field(default_factory=list)
    """When it said no, and when it may be asked again."""

    async def __call__(self) -> str:
        self.asked.append(self.clock.monotonic())
        takes_s, error = self.answers.pop(0) if self.answers else (0.0, None)
        await self.clock.sleep(takes_s)
        if isinstance(error, Transient):
            now = self.clock.monotonic()
            self.refused.append((now, now + (error.retry_after_s or 0.0)))
        if error is not None:
            raise error
        return "done"


WISHES = st.one_of(st.none(), st.floats(0, 90))
ANSWERS = st.tuples(st.floats(0, 20), st.builds(lambda wish: Transient("busy", retry_after_s=wish), WISHES))
ENDS = st.sampled_from((None, Poison("odd", "odd"), KeyError("a bug")))


@settings(max_examples=200)
@given(st.lists(ANSWERS, max_size=25), ENDS, st.floats(0, 1))
def test_any_outage(outages: list[tuple[float, Exception | None]], end: Exception | None, spread: float) -> None:
    clock = ManualClock()
    service = Service(clock, [*outages, (0.0, end)])
    told: list[tuple[int, float]] = []
    retry = Retry(first_delay_s=FIRST_S, max_delay_s=MAX_S, budget_s=BUDGET_S, random=lambda: spread)
    try:
        running = retry.run(service, clock=clock, on_retry=lambda failed, _, delay_s: told.append((failed, delay_s)))
        outcome: object = asyncio.run(running)
    except (Fatal, Poison, KeyError) as error:
        outcome = error

    assert [failed for failed, _ in told] == list(range(1, len(service.asked)))
    for number, ((refused_s, wish_s), asked_s) in enumerate(zip(service.refused, service.asked[1:], strict=False)):
        step_s = min(MAX_S, FIRST_S * 2**number)
        last_chance = asked_s >= BUDGET_S - 1e-6
        assert asked_s >= wish_s - 1e-6 or last_chance
        assert asked_s >= refused_s + step_s / 2 - 1e-6 or last_chance
        assert asked_s <= max(wish_s, refused_s + step_s) + 1e-6
        assert asked_s <= BUDGET_S + 1e-6
    if isinstance(outcome, Fatal):
        assert outcome.code == "transient-budget"
        assert service.refused[-1][0] >= BUDGET_S - 1e-6
        assert len(service.refused) == len(service.asked)
    else:
        assert outcome == ("done" if end is None else end)
        assert len(service.asked) == len(outages) + 1
