"""Admission: whose record is next, so that nobody's import stands in the way of somebody else's document."""

from collections import deque
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush, heapreplace
from itertools import count
from typing import Generic, TypeVar

from streams.runtime.headers import Whose

T = TypeVar("T")

BULK_COST = 8
"""Where both wait, a document that somebody waits for gets this much more of the work per byte than an import's."""


@dataclass(frozen=True, slots=True)
class _Waiting(Generic[T]):
    item: T
    key: Hashable
    size_bytes: int
    number: int
    """In order of arrival."""


@dataclass(slots=True, eq=False)
class _Flow(Generic[T]):
    """What waits of one tenant in one lane, in order of arrival."""

    cost: int
    due: int = 0
    """When its first record is due, in virtual time."""
    waiting: deque[_Waiting[T]] = field(default_factory=deque)

    @property
    def turn(self) -> "_Turn[T]":
        """Where turns are equal, interactive records go first, and then who came first."""
        return self.due, self.cost, self.waiting[0].number, self


_Turn = tuple[int, int, int, _Flow[T]]


class Admission(Generic[T]):
    """What waits for room in the window, and in which order it gets there. No clock, no tasks.

    Start-time fair queueing: each flow, a tenant's interactive or bulk records, has a clock that its records move on
    by their size, and the flow whose clock shows least is next. A flow that begins to wait begins at the present: it
    is next, however much others have waiting; and where it goes on, it gets its share of the bytes and no more.
    Records of one key keep their order.
    """

    def __init__(self) -> None:
        self._flows: dict[Whose, _Flow[T]] = {}
        self._turns: list[_Turn[T]] = []
        """A heap of the flows that have something waiting."""
        self._homes: dict[Hashable, tuple[_Flow[T], int]] = {}
        """Where records of a key wait, and how many."""
        self._numbers: Iterator[int] = count()
        self._present = 0
        self._remembered = 64
        self._events = 0
        self.size_bytes = 0
        """Of all that waits."""

    def __len__(self) -> int:
        return self._events

    def put(self, item: T, *, key: Hashable, whose: Whose, size_bytes: int) -> None:
        """Let a record wait; behind those of its key, even where they wait in the other lane."""
        flow, records = self._homes.get(key) or (self._flow(whose), 0)
        self._homes[key] = flow, records + 1
        self._events += 1
        self.size_bytes += size_bytes
        flow.waiting.append(_Waiting(item, key, size_bytes, next(self._numbers)))
        if len(flow.waiting) == 1:
            flow.due = max(flow.due, self._present)
            heappush(self._turns, flow.turn)

    def first(self) -> T:
        """What is next; there must be something."""
        return self._turns[0][-1].waiting[0].item

    def pop(self) -> T:
        """What is next, which waits no more; there must be something."""
        self._present, *_, flow = self._turns[0]
        waiting = flow.waiting.popleft()
        self._left(waiting)
        flow.due += flow.cost * waiting.size_bytes
        if flow.waiting:
            heapreplace(self._turns, flow.turn)
        else:
            heappop(self._turns)
            self._forget()
        return waiting.item

    def remove(self, unwanted: Callable[[T], bool]) -> list[T]:
        """Take these out of the queues, in order of arrival, as if they had never waited."""
        removed: list[_Waiting[T]] = []
        for flow in self._flows.values():
            gone = [waiting for waiting in flow.waiting if unwanted(waiting.item)]
            if gone:
                removed += gone
                flow.waiting = deque(waiting for waiting in flow.waiting if not unwanted(waiting.item))
        for waiting in removed:
            self._left(waiting)
        self._turns = [flow.turn for flow in self._flows.values() if flow.waiting]
        heapify(self._turns)
        self._forget()
        return [waiting.item for waiting in sorted(removed, key=lambda waiting: waiting.number)]

    def excess(self) -> T:
        """The newest record of the flow that has most of them waiting: whoever crowds the others out."""
        longest = max((flow for *_, flow in self._turns), key=lambda flow: (len(flow.waiting), flow.turn))
        newest = longest.waiting[-1].item
        self.remove(lambda item: item is newest)
        return newest

    def _flow(self, whose: Whose) -> _Flow[T]:
        flow = self._flows.get(whose)
        if flow is None:
            flow = self._flows[whose] = _Flow(BULK_COST if whose.bulk else 1)
        return flow

    def _left(self, waiting: _Waiting[T]) -> None:
        self._events -= 1
        self.size_bytes -= waiting.size_bytes
        flow, records = self._homes[waiting.key]
        if records > 1:
            self._homes[waiting.key] = flow, records - 1
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
