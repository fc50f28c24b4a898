"""Crowds: where too many questions wait, the next one is told at once when to ask again, instead of queueing."""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from streams.runtime.clock import Clock
from streams.runtime.records import Record

STEP = 0.1
"""Of the mean time between two answers towards the latest."""
FIRST_GUESS_S = 0.1
LEAST_S = 1.0


class Questions(Protocol):
    """What can be said of a question that has not begun."""

    def deadline(self, record: Record) -> datetime | None:
        """When its caller stops waiting; none where that is not known."""
        ...

    async def refuse(self, record: Record, *, retry_after_s: float) -> None:
        """Answer it without any work on it. Returning means that the record is finished."""
        ...


@dataclass(slots=True)
class Crowd:
    """How many questions may wait, and how long it takes until those who do have been served."""

    questions: Questions
    max_waiting: int
    clock: Clock
    _mean_s: float = FIRST_GUESS_S
    _served_at: float | None = None
    """When the last one was, where others waited then."""

    def served(self, waiting: int) -> None:
        """One has ended, and so many wait: only then does the time to the next one tell how fast they go."""
        now = self.clock.monotonic()
        if self._served_at is not None:
            self._mean_s += STEP * (now - self._served_at - self._mean_s)
        self._served_at = now if waiting else None

    def retry_after_s(self, waiting: int) -> float:
        """When those who wait will have been served, at the pace of the latest."""
        return max(LEAST_S, round(waiting * self._mean_s, 1))

    def left_s(self, record: Record) -> float | None:
        """Seconds until its caller stops waiting; none where nobody knows."""
        deadline = self.questions.deadline(record)
        return None if deadline is None else max(0.0, (deadline - self.clock.now()).total_seconds())
