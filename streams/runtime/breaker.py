"""The breaker: a bad deploy must stop the worker, not drain the topic into the dead letters."""

import asyncio
from collections import Counter, defaultdict, deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from streams.runtime.errors import Fatal


@dataclass(slots=True)
class _Outcomes:
    """Of one stage, since its worker started."""

    recent: deque[bool]
    """The latest outcomes, and whether each was a bug."""
    proven: bool = False
    """Whether any event has worked."""
    bugs: int = 0
    """Since an event worked."""
    poison: Counter[str] = field(default_factory=Counter)
    """Since an event worked, by tenant."""
    in_hand: int = 0
    held: int = 0
    """Of those in hand: poison, and one too many unless another of them works."""
    news: asyncio.Event = field(default_factory=asyncio.Event)
    """Something in hand has ended."""


@dataclass(slots=True, kw_only=True)
class Breaker:
    """Counts, stage by stage, what fails without an event that works in between.

    Bugs are failures that neither a processor nor a backend foresaw. Poison is its sender's fault until several senders
    have nothing else: those of the tenant that has most of it do not count, unless there is no end to them. It is
    found faster than a good document is read, so one too many waits until all else in hand has ended or is held, too:
    if any of it works, nobody stops.
    """

    max_bugs: int = 10
    """In a row."""
    max_ratio: float = 0.5
    """Of bugs among the last `window` outcomes, judged from so many on."""
    window: int = 100
    max_poison: int = 20
    """In a row, without that of the tenant that has most of it."""
    max_poison_alone: int = 1_000
    """In a row, whoever's it is. More than may be in hand before all who wait have had a turn."""
    max_unproven: int = 3
    """In a row, instead of `max_bugs` and `max_poison`, before the first event that works: a worker that is started
    again and again puts little aside each time."""
    stops_at_poison: bool = True
    """False: the events are known to be at fault, and all that are poison are put aside."""
    _stages: dict[str, _Outcomes] = field(init=False)

    def __post_init__(self) -> None:
        self._stages = defaultdict(lambda: _Outcomes(deque(maxlen=self.window)))

    @contextmanager
    def trying(self, stage: str) -> Iterator[None]:
        """Around a stage's work on an event, up to its outcome."""
        seen = self._stages[stage]
        seen.in_hand += 1
        try:
            yield
        finally:
            seen.in_hand -= 1
            seen.news.set()

    def works(self, stage: str) -> None:
        """An event was processed as foreseen."""
        seen = self._stages[stage]
        seen.recent.append(False)
        seen.proven = True
        seen.bugs = 0
        seen.poison.clear()
        seen.news.set()

    async def poison(self, stage: str, tenant: str, what: str) -> None:
        """A tenant's event can never work. Raises Fatal where nobody's does, and waits until that is known."""
        seen = self._stages[stage]
        seen.recent.append(False)
        if not self.stops_at_poison:
            return
        seen.poison[tenant] += 1
        seen.held += 1
        try:
            while self._is_too_much(seen):
                if seen.held >= seen.in_hand:
                    raise Fatal(
                        "breaker-open",
                        f"{seen.poison.total()} events in a row are poison in stage {stage}, of {len(seen.poison)} "
                        f"tenants; the last: {what}. Where the deploy is at fault, mend it and replay the dead "
                        "letters; where the events are, start with HEADWATER_STOP_AT_POISON=false",
                    )
                seen.news.clear()
                await seen.news.wait()
        finally:
            seen.held -= 1

    def bug(self, stage: str, what: str) -> None:
        """An event met a bug. Raises Fatal where there are too many of them."""
        seen = self._stages[stage]
        seen.recent.append(True)
        seen.bugs += 1
        if seen.bugs >= self._at_most(self.max_bugs, seen):
            raise Fatal("breaker-open", f"{seen.bugs} bugs in a row; the last: {what}")
        bugs = sum(seen.recent)
        if len(seen.recent) == self.window and bugs > self.max_ratio * self.window:
            raise Fatal("breaker-open", f"{bugs} bugs in {self.window} events; the last: {what}")

    def _is_too_much(self, seen: _Outcomes) -> bool:
        run = seen.poison.total()
        others = run - max(seen.poison.values(), default=0)
        return others >= self._at_most(self.max_poison, seen) or run >= self.max_poison_alone

    def _at_most(self, proven: int, seen: _Outcomes) -> int:
        return proven if seen.proven else min(proven, self.max_unproven)
