"""Interrupts: a question that is late or withdrawn is dropped before, and while, it costs anything."""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime

from schemas import Event, PassagesRanked, PassagesRetrieved, QueryAsked, QueryId
from streams.runtime.clock import Clock


class Interrupted(Exception):
    """Nobody waits for this answer any more: one QueryFailed, no dead letter."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail


def query_of(event: Event) -> QueryAsked | None:
    """The question that an event belongs to, if any."""
    if isinstance(event, QueryAsked):
        return event
    if isinstance(event, PassagesRetrieved | PassagesRanked):
        return event.query
    return None


class Cancelled:
    """Remembers withdrawn questions for a while, and tells whoever works on one."""

    def __init__(self, clock: Clock, *, keep_s: float = 600.0, max_ids: int = 10_000) -> None:
        self._clock = clock
        self._keep_s = keep_s
        self._max_ids = max_ids
        self._seen: OrderedDict[QueryId, float] = OrderedDict()
        self._watchers: dict[QueryId, list[Callable[[], None]]] = {}

    def add(self, query_id: QueryId) -> None:
        now = self._clock.monotonic()
        self._seen[query_id] = now
        self._seen.move_to_end(query_id)
        while self._seen and (len(self._seen) > self._max_ids or now - next(iter(self._seen.values())) > self._keep_s):
            self._seen.popitem(last=False)
        for tell in self._watchers.get(query_id, ()):
            tell()

    def __contains__(self, query_id: QueryId) -> bool:
        added = self._seen.get(query_id)
        return added is not None and self._clock.monotonic() - added <= self._keep_s

    def watch(self, query_id: QueryId, tell: Callable[[], None]) -> None:
        self._watchers.setdefault(query_id, []).append(tell)

    def unwatch(self, query_id: QueryId, tell: Callable[[], None]) -> None:
        watchers = self._watchers[query_id]
        watchers.remove(tell)
        if not watchers:
            del self._watchers[query_id]


class Guard:
    """Held while a stage works on one event."""

    def __init__(self, scope: asyncio.Timeout | None = None) -> None:
        self._scope = scope

    async def settle(self) -> None:
        """From here on the answer is final: nothing interrupts it. Interrupted now, where it is too late for that."""
        if self._scope is None:
            return
        if self._scope.expired():
            await asyncio.sleep(0)  # the interrupt is on its way and lands here
        self._scope.reschedule(None)


class Interrupts:
    """Watches the deadline and the cancellation of the question behind an event."""

    def __init__(self, clock: Clock, cancelled: Cancelled) -> None:
        self._clock = clock
        self._cancelled = cancelled

    @asynccontextmanager
    async def guard(self, event: Event) -> AsyncIterator[Guard]:
        """Run the body unless, or until, nobody waits for its result; raises Interrupted then."""
        query = query_of(event)
        if query is None:
            yield Guard()
            return
        self._check(query)
        loop = asyncio.get_running_loop()
        scope = asyncio.timeout(self._remaining_s(query.deadline))

        def interrupt() -> None:
            if not scope.expired():
                scope.reschedule(loop.time())

        self._cancelled.watch(query.query_id, interrupt)
        try:
            async with scope:
                yield Guard(scope)
        except TimeoutError:
            if not scope.expired():
                raise
            self._check(query)
            raise _late(query.deadline) from None
        finally:
            self._cancelled.unwatch(query.query_id, interrupt)

    def _check(self, query: QueryAsked) -> None:
        if query.query_id in self._cancelled:
            raise Interrupted("cancelled", "the caller withdrew the question")
        remaining_s = self._remaining_s(query.deadline)
        if remaining_s is not None and remaining_s <= 0:
            raise _late(query.deadline)

    def _remaining_s(self, deadline: datetime | None) -> float | None:
        return None if deadline is None else (deadline - self._clock.now()).total_seconds()


def _late(deadline: datetime | None) -> Interrupted:
    return Interrupted("deadline-exceeded", f"no answer by {deadline}; ask again with a later deadline")
