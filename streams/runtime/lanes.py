"""Lanes: same key in order, different keys at once, and a bounded window in front."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Hashable

Work = Callable[[], Awaitable[None]]


class Lanes:
    """Runs work with a queue per key, so that a slow key holds up nobody else.

    `submit` waits while the window is full, which is the backpressure on whoever reads records. A record larger
    than the whole window passes alone.
    """

    def __init__(self, *, max_events: int, max_bytes: int, on_error: Callable[[BaseException], None]) -> None:
        self._max_events = max_events
        self._max_bytes = max_bytes
        self._on_error = on_error
        self._events = 0
        self._bytes = 0
        self._queues: dict[Hashable, deque[tuple[Work, int]]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._room = asyncio.Event()
        self._closed = False

    async def submit(self, key: Hashable, size_bytes: int, work: Work) -> None:
        """Run `work` behind earlier work of the same key; returns once it is inside the window, or after `cancel`."""
        while self._is_full(size_bytes) and not self._closed:
            self._room.clear()
            await self._room.wait()
        if self._closed:
            return
        self._events += 1
        self._bytes += size_bytes
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
        self._closed = True
        self._room.set()
        for task in tuple(self._tasks):
            task.cancel()
        await self.drain()

    def _is_full(self, size_bytes: int) -> bool:
        return self._events >= self._max_events or (self._events > 0 and self._bytes + size_bytes > self._max_bytes)

    async def _lane(self, key: Hashable) -> None:
        queue = self._queues[key]
        try:
            while queue:
                work, size_bytes = queue[0]
                await work()
                queue.popleft()
                self._leave(1, size_bytes)
        finally:
            self._leave(len(queue), sum(size for _, size in queue))
            del self._queues[key]

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._on_error(error)

    def _leave(self, events: int, size_bytes: int) -> None:
        self._events -= events
        self._bytes -= size_bytes
        self._room.set()
