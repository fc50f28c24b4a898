"""The breaker: a bad deploy must stop the worker, not drain the topic into the dead letters."""

from collections import deque

from streams.runtime.errors import Fatal


class Breaker:
    """Counts bugs, the failures that neither a processor nor a backend foresaw.

    It opens on `max_run` bugs in a row, or when more than `max_ratio` of the last `window` outcomes are bugs
    (judged from `window` outcomes on). Poison does not count: one sender's bad documents are no bad deploy.
    """

    def __init__(self, *, max_run: int = 10, max_ratio: float = 0.5, window: int = 100) -> None:
        self._max_run = max_run
        self._max_ratio = max_ratio
        self._outcomes: deque[bool] = deque(maxlen=window)
        self._run = 0
        self._bugs = 0

    def works(self) -> None:
        """An event was processed as foreseen."""
        self._count(bug=False)

    def bug(self, what: str) -> None:
        """An event met a bug. Raises Fatal where there are too many of them."""
        self._count(bug=True)
        if self._run >= self._max_run:
            raise Fatal("breaker-open", f"{self._run} bugs in a row; the last: {what}")
        full = len(self._outcomes) == self._outcomes.maxlen
        if full and self._bugs > self._max_ratio * len(self._outcomes):
            raise Fatal("breaker-open", f"{self._bugs} bugs in {len(self._outcomes)} events; the last: {what}")

    def _count(self, *, bug: bool) -> None:
        if len(self._outcomes) == self._outcomes.maxlen:
            self._bugs -= self._outcomes[0]
        self._outcomes.append(bug)
        self._bugs += bug
        self._run = self._run + 1 if bug else 0
