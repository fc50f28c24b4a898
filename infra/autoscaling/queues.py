"""Work that waits, oldest first, and workers that take it."""

from collections import deque
from dataclasses import dataclass, field
from itertools import islice

from infra.autoscaling.pods import Pods

Cohort = tuple[int, int]
"""When they were published or asked, and how many."""


@dataclass(slots=True)
class Queue:
    """Counts of what arrived in the same second, oldest first."""

    size: int = 0
    _cohorts: deque[Cohort] = field(default_factory=deque)

    def put(self, cohort: Cohort) -> None:
        if cohort[1]:
            self._cohorts.append(cohort)
            self.size += cohort[1]

    def take(self, most: int) -> list[Cohort]:
        """The oldest, at most so many."""
        taken = []
        while most > 0 and self._cohorts:
            born_s, count = self._cohorts.popleft()
            part = min(count, most)
            if part < count:
                self._cohorts.appendleft((born_s, count - part))
            taken.append((born_s, part))
            most -= part
            self.size -= part
        return taken

    def refuse(self, most: int) -> int:
        """Send away the youngest of what is over `most`; how many."""
        refused = over = max(0, self.size - most)
        while over:
            born_s, count = self._cohorts.pop()
            if count > over:
                self._cohorts.append((born_s, count - over))
            over -= min(over, count)
        self.size -= refused
        return refused

    def expire(self, before_s: int) -> int:
        """Drop what was asked before then; how many."""
        dropped = 0
        while self._cohorts and self._cohorts[0][0] < before_s:
            dropped += self._cohorts.popleft()[1]
        self.size -= dropped
        return dropped


@dataclass(slots=True)
class Stage:
    """A stage's topic and the workers that read it."""

    pods: Pods
    each_s: float
    """What one worker does in a second, where nothing else holds it up."""
    partitions: int
    rebalance_s: float
    queue: Queue = field(default_factory=Queue)
    lag: float = 0
    """What was in hand or finished since the last commit, and what waits."""
    _done: deque[int] = field(default_factory=lambda: deque([0] * 16, maxlen=16))
    """In each of the last seconds, the latest first."""
    _members: int = 0
    _moving_until_s: float = 0
    _moving: float = 0
    _credit: float = 0

    def work(self, now_s: int, servers_s: float, held_s: float) -> list[Cohort]:
        """What a second gets done, if the servers behind bear `servers_s`; a record is not committed for `held_s`."""
        members = min(self.pods.serving(now_s), self.partitions)
        if members != self._members:
            # Of n members one's partitions move where one comes or goes; the others read on.
            self._moving = abs(members - self._members) / max(members, self._members)
            self._moving_until_s = now_s + self.rebalance_s
            self._members = members
        reading = 1 - self._moving if now_s < self._moving_until_s else 1.0
        self._credit = min(self._credit, 1) + min(members * self.each_s * reading, servers_s)
        done = self.queue.take(int(self._credit))
        count = sum(each for _, each in done)
        self._credit -= count
        self._done.appendleft(count)
        whole = int(held_s)
        self.lag = self.queue.size + sum(islice(self._done, whole)) + (held_s - whole) * self._done[whole]
        return done
