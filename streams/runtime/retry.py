"""Retries in place: jittered exponential backoff within a budget of time."""

import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from processors.errors import Transient
from streams.runtime.clock import Clock
from streams.runtime.errors import Fatal

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """Tries again while a service says that it may recover."""

    first_delay_s: float = 0.1
    max_delay_s: float = 15.0
    budget_s: float = 300.0
    """Wall-clock time from the first attempt after which the worker stops: longer than a service's restart."""
    random: Callable[[], float] = random.random

    async def run(
        self, attempt: Callable[[], Awaitable[T]], *, clock: Clock, on_retry: Callable[[int, Transient, float], None]
    ) -> T:
        """What `attempt` gives in the end. Raises Fatal beyond the budget, and whatever else `attempt` raises.

        `on_retry` is told the number of the failed attempt, why it failed, and the delay in seconds.
        """
        started = clock.monotonic()
        failed = 0
        while True:
            try:
                return await attempt()
            except Transient as error:
                failed += 1
                delay_s = self.delay_s(failed, error.retry_after_s)
                spent_s = clock.monotonic() - started
                if spent_s >= self.budget_s:
                    raise Fatal("transient-budget", f"{error.reason}; gave up after {spent_s:.0f} s") from error
                # A service may ask for more than is left: one last attempt comes at the end of the budget.
                delay_s = min(delay_s, self.budget_s - spent_s)
                on_retry(failed, error, delay_s)
            await clock.sleep(delay_s)

    def delay_s(self, failed: int, retry_after_s: float | None) -> float:
        """Between half of the step and the whole, so that workers spread out; never before the service asked."""
        step = min(self.max_delay_s, self.first_delay_s * 2.0 ** min(failed - 1, 30))
        return max(step * (0.5 + 0.5 * self.random()), retry_after_s or 0.0)
