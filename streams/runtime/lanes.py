"""Lanes: same key in order, different keys at once, within a bounded window."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Hashable

from streams.runtime.window import Window

Work = Callable[[], Awaitable[None]]


class Lanes:
    """Runs work with a queue per key, so that a slow key holds up nobody else.

    Whoever enters work asks for room before, and is told when there may be some. After a failure nothing more has
    room: what comes behind it must not overtake it.
    """

    def __init__(
        self,
        *,
        max_events: int,
        max_bytes: int,
        on_error: Callable[[BaseException], None],
        on_room: Callable[[], None] = lambda: None,
    ) -> None:
        self._on_error = on_error
        self._window = Window(max_events=max_events, max_bytes=max_bytes, on_room=on_room)
        self._queues: dict[Hashable, deque[tuple[Work, int]]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def has_room(self, size_bytes: int, *, sparing: bool = False) -> bool:
        """Whether so many bytes fit into the window; what is larger than all of it passes alone."""
        return self._window.has_room(size_bytes, sparing=sparing)

    def enter(self, key: Hashable, size_bytes: int, work: Work) -> None:
        """Run `work` behind earlier work of the same key."""
        self._window.enter(size_bytes)
        queue = self._queues.get(key)
        if queue is not None:
            queue.append((work, size_bytes))
            return
        self._queues[key] = deque([(work, size_bytes)])
        task = asyncio.create_task(self._lane(key))
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    async def drain(self) -> None:
        """Wait until nothing is left."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def cancel(self) -> None:
        """Stop everything where it stands, and start nothing more; none of it counts as done."""
        self._window.close()
        for task in tuple(self._tasks):
            task.cancel()
        await self.drain()

    async def _lane(self, key: Hashable) -> None:
        queue = self._queues[key]
        try:
            while queue:
                work, size_bytes = queue[0]
                with self._window.place(size_bytes, is_followed=lambda: len(queue) > 1):
                    await work()
                queue.popleft()
                if not queue:
                    del self._queues[key]
                self._window.leave(size_bytes)
        finally:
            if queue:
                self._window.close()

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._on_error(error)
