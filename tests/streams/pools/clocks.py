"""Time that a test moves on; who sleeps wakes when it has come."""

import asyncio
import heapq
import itertools
from datetime import UTC, datetime


class SteppedClock:
    """Stands still until `pass_time`."""

    def __init__(self) -> None:
        self.at = 1_000.0
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._order = itertools.count()

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.at, UTC)

    def monotonic(self) -> float:
        return self.at

    async def sleep(self, delay_s: float) -> None:
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self.at + delay_s, next(self._order), woken))
        await woken

    async def pass_time(self, seconds: float) -> None:
        """Move on, waking each sleeper at its time, and let what it does come to rest."""
        until = self.at + seconds
        await _rest()
        while self._sleepers and self._sleepers[0][0] <= until:
            self.at, _, woken = heapq.heappop(self._sleepers)
            if not woken.done():
                woken.set_result(None)
            await _rest()
        self.at = until


async def _rest() -> None:
    for _ in range(20):
        await asyncio.sleep(0)
