"""Waiting: what an event asks for is under way, and the event is tried again until it is there."""

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import TypeVar

from processors.errors import NotYet
from streams.runtime.clock import Clock
from streams.runtime.interrupts import OVERLOADED, Interrupted
from streams.runtime.window import Crowded, aside

T = TypeVar("T")

FIRST_DELAY_S, MAX_DELAY_S = 0.02, 0.5
SHARE = 0.1
"""Of the time waited so far until the next try: what became visible is noticed soon, and 60 s cost some 150 tries."""
BETWEEN_S = 0.005
"""Between the tries of all that wait: a look-up takes 1 to 2 ms, and the store has other work."""
MARGIN_S = 0.1
"""Before a deadline, to say what is missing rather than that it is late."""
RETRY_AFTER_S = 1.0
"""Where too many wait: by then most of those of a usual ingest are through."""


class Waiting:
    """How long one event has waited in one stage, over all its attempts."""

    def __init__(self, clock: Clock, deadline: datetime | None) -> None:
        self._clock = clock
        self._deadline = deadline
        self._began: float | None = None
        self.waited_s = 0.0
        """From the first time that something was missing to the last."""

    async def run(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """What `attempt` gives once nothing is missing.

        Between the tries it has no place in the window. Raises Interrupted where something still is missing when the
        event has waited as long as it may, or its deadline leaves no time for another try, or too many wait already;
        and whatever else `attempt` raises.
        """
        while True:
            try:
                return await attempt()
            except NotYet as error:
                missing = error
            left_s = self._left_s(missing)
            try:
                async with aside() as waiting:
                    delay_s = max(FIRST_DELAY_S, min(SHARE * self.waited_s, MAX_DELAY_S), BETWEEN_S * waiting)
                    await self._clock.sleep(min(delay_s, left_s))
            except Crowded:
                said = f"{missing.reason}; and this worker lets no more questions wait"
                raise Interrupted(OVERLOADED, said, retry_after_s=RETRY_AFTER_S) from None

    def _left_s(self, missing: NotYet) -> float:
        """How long the event may still wait. Raises Interrupted where it may not."""
        now = self._clock.monotonic()
        self._began = now if self._began is None else self._began
        self.waited_s = now - self._began
        left_s = missing.wait_s - self.waited_s
        if self._deadline is not None:
            left_s = min(left_s, (self._deadline - self._clock.now()).total_seconds() - MARGIN_S)
        if left_s <= 0:
            said = f"{missing.reason}; the question waited {self.waited_s:.1f} s for it"
            raise Interrupted(missing.code, said) from missing
        return left_s
