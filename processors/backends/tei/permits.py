"""How many texts may be at a server at once: questions first, and never more than it takes."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

from processors.turns import WHOSE, Turns

RESERVED_SHARE = 4
"""At most the fourth part of the permits is kept free for questions."""
RECOVERY_SHARE = 8
"""After a refusal, every so many texts that are answered give one permit back."""
CROWDED_S = 0.5
"""Refusals within this time of another one tell nothing new: they were sent before it came."""


class _Waiting(NamedTuple):
    texts: int
    granted: "asyncio.Future[None]"


class Permits:
    """One per text, as the server counts them, taken before a request is sent.

    Questions overtake passages that wait, and passages leave a reserve of one list to them. A server that several
    workers share refuses what is too much for it; then fewer are used, and more again as it answers.
    """

    def __init__(self, limit: int = 1, *, reserve: int = 0) -> None:
        self.taken = 0
        self._ahead: Turns[_Waiting] = Turns()
        self._behind: Turns[_Waiting] = Turns()
        self._crowded_at = -CROWDED_S
        self.resize(limit, reserve=reserve)

    def resize(self, limit: int, *, reserve: int) -> None:
        """The server takes `limit` texts at once; passages leave `reserve` of them, or as much as is fair."""
        self.limit = limit
        self._reserve = min(reserve, limit // RESERVED_SHARE)
        self._usable = float(limit)
        self._wake()

    @property
    def longest(self) -> int:
        """Texts that a list of passages may have to be granted at all, as long as nobody else uses the server."""
        return max(1, self.limit - self._reserve)

    @asynccontextmanager
    async def held(self, texts: int, *, ahead: bool) -> AsyncIterator[None]:
        """Wait for so many permits and hold them; `ahead`: before all that is not."""
        await self._take(texts, ahead)
        try:
            yield
        finally:
            self._give(texts)

    def refused(self, now: float) -> None:
        """The server had fewer permits free than we believed: use half as many as were in flight."""
        if now - self._crowded_at >= CROWDED_S:
            self._crowded_at = now
            self._usable = max(1.0, min(self._usable, self.taken) / 2)

    def answered(self, texts: int) -> None:
        self._usable = min(self.limit, self._usable + texts / RECOVERY_SHARE)

    async def _take(self, texts: int, ahead: bool) -> None:
        queue = self._ahead if ahead else self._behind
        if self._fits(texts, ahead) and not self._ahead and not queue:
            self.taken += texts
            return
        waiting = _Waiting(texts, asyncio.get_running_loop().create_future())
        queue.put(waiting, whose=WHOSE.get(), size=texts)
        try:
            await waiting.granted
        except asyncio.CancelledError:
            if waiting.granted.cancelled():
                self._wake()  # it may have stood before one that fits
            else:
                self._give(texts)
            raise

    def _give(self, texts: int) -> None:
        self.taken -= texts
        self._wake()

    def _fits(self, texts: int, ahead: bool) -> bool:
        usable = self._usable if ahead else self._usable - min(self._reserve, self._usable // RESERVED_SHARE)
        # A list that exceeds what is usable for the moment still goes when it is the only one.
        return self.taken == 0 or self.taken + texts <= usable

    def _wake(self) -> None:
        for queue, ahead in ((self._ahead, True), (self._behind, False)):
            while queue and (queue.first().granted.cancelled() or self._fits(queue.first().texts, ahead)):
                waiting = queue.pop()
                if not waiting.granted.cancelled():
                    self.taken += waiting.texts
                    waiting.granted.set_result(None)
            if queue:
                return
