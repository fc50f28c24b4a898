"""Interrupts: a question that is late or withdrawn is dropped before, and while, it costs anything."""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime

from processors.errors import Transient
from schemas import Event, PassagesRanked, PassagesRetrieved, QueryAsked, QueryId
from streams.runtime.clock import Clock

OVERLOADED = "overloaded"
PATIENCE_S = 10.0
"""How long a question waits for services that say they are busy, its deadline permitting: its asker may know better."""


class Interrupted(Exception):
    """The work on a question ends here, and it is nobody's fault: one QueryFailed, no dead letter.

    `retry_after_s` says when asking again is worth while, where that is known.
    """

    def __init__(self, code: str, detail: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail
        self.retry_after_s = retry_after_s


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

    def spare(self, event: Event, busy: Transient, *, waited_s: float, delay_s: float) -> None:
        """Raises Interrupted where a service asks a question to wait beyond its deadline, or its patience.

        Only what a service asks for counts: a service that is merely away is waited for.
        """
        query = query_of(event)
        if query is None or busy.retry_after_s is None:
            return
        remaining_s = self._remaining_s(query.deadline)
        if waited_s + delay_s > PATIENCE_S or (remaining_s is not None and delay_s >= remaining_s):
            raise Interrupted(OVERLOADED, f"overloaded: {busy.reason}", retry_after_s=busy.retry_after_s) from busy

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
