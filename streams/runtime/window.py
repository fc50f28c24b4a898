"""The window: how much may be in work at once, and who waits beside it so that others pass."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

SPARED = 8
"""The last one in so many places, and bytes, is for those who have nothing in the window."""
ASIDE = 4
"""Events that may wait aside for each place in the window; their bytes are at most those of the window."""

_place: ContextVar["_Place | None"] = ContextVar("place", default=None)
"""Of the current work: between it and its window there are layers that know of neither."""


class Crowded(Exception):
    """Too much waits aside already."""


class Window:
    """Counts events and bytes in work. No tasks, no clock.

    Whoever enters asks for room before; what comes back from aside has room before whatever is new.
    """

    def __init__(self, *, max_events: int, max_bytes: int, on_room: Callable[[], None]) -> None:
        self._max_events = max_events
        self._max_bytes = max_bytes
        self._on_room = on_room
        self._closed = False
        self._events = self._bytes = 0
        self._aside_events = self._aside_bytes = 0
        self._returning: deque[tuple[int, asyncio.Future[None]]] = deque()

    def has_room(self, size_bytes: int, *, sparing: bool = False) -> bool:
        """Whether something new fits; what is larger than the whole window passes alone.

        `sparing`: with an eighth of the window left for those who have nothing in it.
        """
        if sparing and self._events >= self._max_events - self._max_events // SPARED:
            return False
        spared_bytes = self._max_bytes // SPARED if sparing else 0
        return not self._closed and not self._returning and self._fits(size_bytes + spared_bytes)

    def enter(self, size_bytes: int) -> None:
        self._events += 1
        self._bytes += size_bytes

    def leave(self, size_bytes: int) -> None:
        self._events -= 1
        self._bytes -= size_bytes
        self._call_back()

    def close(self) -> None:
        """Nothing new has room any more; what is in hand goes on."""
        self._closed = True
        self._call_back()

    @contextmanager
    def place(self, size_bytes: int, *, is_followed: Callable[[], bool]) -> Iterator[None]:
        """The block is the work that has entered with so many bytes, and may step aside.

        `is_followed` tells whether other work, which has a place too, can only begin once this has ended.
        """
        token = _place.set(_Place(self, size_bytes, is_followed))
        try:
            yield
        finally:
            _place.reset(token)

    def step_aside(self, size_bytes: int) -> int:
        """Give a place to others for a while; how many did so. Raises Crowded."""
        many = self._aside_events >= ASIDE * self._max_events
        if many or (self._aside_events > 0 and self._aside_bytes + size_bytes > self._max_bytes):
            raise Crowded
        self._aside_events += 1
        self._aside_bytes += size_bytes
        waiting = self._aside_events
        self.leave(size_bytes)
        return waiting

    def step_back(self, size_bytes: int) -> None:
        """Take a place again, whether there is room or not."""
        self._aside_events -= 1
        self._aside_bytes -= size_bytes
        self.enter(size_bytes)

    async def come_back(self, size_bytes: int) -> None:
        """Take a place again as soon as there is room."""
        if not self._returning and (self._closed or self._fits(size_bytes)):
            self.step_back(size_bytes)
            return
        turn = asyncio.get_running_loop().create_future()
        self._returning.append((size_bytes, turn))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.cancelled():
                self.step_back(size_bytes)
            raise

    def _fits(self, size_bytes: int) -> bool:
        if self._events >= self._max_events:
            return False
        return self._events == 0 or self._bytes + size_bytes <= self._max_bytes

    def _call_back(self) -> None:
        while self._returning and (self._closed or self._fits(self._returning[0][0])):
            size_bytes, turn = self._returning.popleft()
            if not turn.done():
                self.step_back(size_bytes)
                turn.set_result(None)
        if not self._returning:
            self._on_room()


@dataclass(frozen=True, slots=True)
class _Place:
    window: Window
    size_bytes: int
    is_followed: Callable[[], bool]


@asynccontextmanager
async def aside() -> AsyncIterator[int]:
    """What waits in the block has no place in its window meanwhile; outside of a window it just waits.

    It is told how many wait so, itself included. The end of the block waits for a place again. Raises Crowded.
    """
    place = _place.get()
    if place is None:
        yield 1
        return
    window, size_bytes = place.window, place.size_bytes
    waiting = window.step_aside(size_bytes)
    try:
        yield waiting
    except BaseException:
        window.step_back(size_bytes)  # to say what became of it, and end
        raise
    if place.is_followed():
        window.step_back(size_bytes)  # in the place of what follows it, and would wait for it in vain
    else:
        await window.come_back(size_bytes)
