"""Turns: who is next where several wait for the same, so that nobody's import stands in the way of anybody else."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Hashable, Iterator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush, heapreplace
from itertools import count
from typing import Generic, TypeVar

T = TypeVar("T")

BULK_COST = 8
"""Where both wait, a document that somebody waits for gets this much more of the work per byte than an import's."""


@dataclass(frozen=True, slots=True)
class Whose:
    """With whom a piece of work shares its turns."""

    tenant: str = ""
    """Empty: of those who name none."""
    bulk: bool = False
    """Part of an import, which lets go first whatever somebody waits for."""


WHOSE: ContextVar[Whose] = ContextVar("whose", default=Whose())  # noqa: B039  # frozen
"""Whose work the current task does: the runtime says so, and whatever keeps a queue behind a port reads it."""


@dataclass(frozen=True, slots=True)
class _Waiting(Generic[T]):
    item: T
    key: Hashable
    size: int
    number: int
    """In order of arrival."""


@dataclass(slots=True, eq=False)
class _Flow(Generic[T]):
    """What waits of one tenant in one lane, in order of arrival."""

    whose: Whose
    due: int = 0
    """When its first piece is due, in virtual time."""
    waiting: deque[_Waiting[T]] = field(default_factory=deque)

    @property
    def cost(self) -> int:
        return BULK_COST if self.whose.bulk else 1

    @property
    def turn(self) -> "_Turn[T]":
        """Where turns are equal, interactive work goes first, and then who came first."""
        return self.due, self.cost, self.waiting[0].number, self


_Turn = tuple[int, int, int, _Flow[T]]


class Turns(Generic[T]):
    """What waits, and in which order it goes. No clock, no tasks.

    Start-time fair queueing: each flow, a tenant's interactive or bulk work, has a clock that its pieces move on by
    their size, and the flow whose clock shows least is next. A flow that begins to wait begins at the present: it
    is next, however much others have waiting; and where it goes on, it gets its share of the sizes and no more.
    Pieces of one key keep their order.
    """

    def __init__(self) -> None:
        self._flows: dict[Whose, _Flow[T]] = {}
        self._turns: list[_Turn[T]] = []
        """A heap of the flows that have something waiting."""
        self._homes: dict[Hashable, tuple[_Flow[T], int]] = {}
        """Where pieces of a key wait, and how many."""
        self._numbers: Iterator[int] = count()
        self._present = 0
        self._remembered = 64
        self._length = 0
        self.size = 0
        """Of all that waits."""

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[T]:
        """All that waits, each flow's in order."""
        for *_, flow in self._turns:
            for waiting in flow.waiting:
                yield waiting.item

    def put(self, item: T, *, whose: Whose, size: int, key: Hashable = None) -> None:
        """Let something wait; behind what waits of its key, if it has one, even where that is in the other lane."""
        flow, pieces = self._homes.get(key) or (self._flow(whose), 0)
        if key is not None:
            self._homes[key] = flow, pieces + 1
        self._length += 1
        self.size += size
        flow.waiting.append(_Waiting(item, key, size, next(self._numbers)))
        if len(flow.waiting) == 1:
            flow.due = max(flow.due, self._present)
            heappush(self._turns, flow.turn)

    def first(self) -> T:
        """What is next; there must be something."""
        return self._turns[0][-1].waiting[0].item

    def pop(self) -> T:
        """What is next, which waits no more; there must be something."""
        self._present, *_, flow = self._turns[0]
        item = self._serve(flow)
        if flow.waiting:
            heapreplace(self._turns, flow.turn)
        else:
            heappop(self._turns)
            self._forget()
        return item

    def pop_where(self, whose: Callable[[Whose], bool], item: Callable[[T], bool]) -> T | None:
        """The same, where not all flows may go: what is next among some, if it may go too."""
        turn = min((turn for turn in self._turns if whose(turn[-1].whose)), default=None)
        if turn is None or not item(turn[-1].waiting[0].item):
            return None
        served = self._serve(turn[-1])
        self._turns = [flow.turn for *_, flow in self._turns if flow.waiting]
        heapify(self._turns)
        self._forget()
        return served

    def take(self, wanted: Callable[[T], bool], *, served: bool) -> list[T]:
        """Take these out, in order of arrival: as if it had been their turn, or as if they had never waited."""
        taken: list[_Waiting[T]] = []
        if served and self._turns:
            self._present = self._turns[0][0]
        for *_, flow in self._turns:
            gone = [waiting for waiting in flow.waiting if wanted(waiting.item)]
            if gone:
                taken += gone
                flow.waiting = deque(waiting for waiting in flow.waiting if not wanted(waiting.item))
                flow.due += flow.cost * sum(waiting.size for waiting in gone) if served else 0
        for waiting in taken:
            self._left(waiting)
        self._turns = [flow.turn for flow in self._flows.values() if flow.waiting]
        heapify(self._turns)
        self._forget()
        return [waiting.item for waiting in sorted(taken, key=lambda waiting: waiting.number)]

    def excess(self) -> T:
        """Take out the newest piece of the flow that has most of them waiting: whoever crowds the others out."""
        longest = max((flow for *_, flow in self._turns), key=lambda flow: (len(flow.waiting), flow.turn))
        newest = longest.waiting[-1].item
        self.take(lambda item: item is newest, served=False)
        return newest

    def _serve(self, flow: _Flow[T]) -> T:
        waiting = flow.waiting.popleft()
        self._left(waiting)
        flow.due += flow.cost * waiting.size
        return waiting.item

    def _flow(self, whose: Whose) -> _Flow[T]:
        flow = self._flows.get(whose)
        if flow is None:
            flow = self._flows[whose] = _Flow(whose)
        return flow

    def _left(self, waiting: _Waiting[T]) -> None:
        self._length -= 1
        self.size -= waiting.size
        if waiting.key is None:
            return
        flow, pieces = self._homes[waiting.key]
        if pieces > 1:
            self._homes[waiting.key] = flow, pieces - 1
        else:
            del self._homes[waiting.key]

    def _forget(self) -> None:
        """Drop the flows that have nothing waiting and have had no more than their share; all, where all is idle."""
        if not self._turns:
            self._flows.clear()
            self._present = 0
        elif len(self._flows) > self._remembered:
            kept = {whose: flow for whose, flow in self._flows.items() if flow.waiting or flow.due > self._present}
            self._flows = kept
            self._remembered = max(64, 2 * len(self._flows))


class Slots:
    """So many at once; those who wait go in turns."""

    def __init__(self, free: int) -> None:
        self._free = free
        self._waiting: Turns[asyncio.Future[None]] = Turns()

    @asynccontextmanager
    async def held(self, size: int) -> AsyncIterator[None]:
        """Wait for a slot and hold it, for work of this size."""
        await self.acquire(size)
        try:
            yield
        finally:
            self.release()

    async def acquire(self, size: int) -> None:
        if self._free > 0:
            self._free -= 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.put(turn, whose=WHOSE.get(), size=max(1, size))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.cancelled():
                self._waiting.take(lambda waiting: waiting is turn, served=False)
            else:
                self.release()
            raise

    def release(self) -> None:
        """Hand a slot on: nobody overtakes those who wait."""
        while self._waiting:
            turn = self._waiting.pop()
            if not turn.cancelled():
                turn.set_result(None)
                return
        self._free += 1
