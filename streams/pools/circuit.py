"""The circuit of one instance: after failures it gets nothing but a trial now and then, until one succeeds."""

import random
from collections import deque
from typing import Literal

CircuitState = Literal["closed", "open", "half-open"]

FAILURES_IN_A_ROW = 3
"""One failure may be a restart's last connection; three in a row are no accident, and cost a retry each."""
WINDOW = 20
"""Outcomes of which no more than half may be failures: an instance that fails every other call is no use either."""
FIRST_OPEN_S = 1.0
"""Doubled by each trial that fails: a restart takes seconds."""
MAX_OPEN_S = 15.0
"""An instance that is back waits no longer than this; the trials cost its pool four retries a minute."""


class Circuit:
    """Closed: calls pass. Open: none does. Half-open: one real call at a time is the trial that decides."""

    def __init__(self, random: random.Random) -> None:
        self._random = random
        self._outcomes: deque[bool] = deque(maxlen=WINDOW)
        self._in_a_row = 0
        self._open_s = 0.0
        self._until: float | None = None
        self._trying = False

    def state(self, now: float) -> CircuitState:
        if self._until is None:
            return "closed"
        return "open" if now < self._until else "half-open"

    def awaits_trial(self, now: float) -> bool:
        """Whether the next call may be the trial."""
        return self.state(now) == "half-open" and not self._trying

    def wait_s(self, now: float) -> float:
        """Until a trial may be made; 0 where one may be made now, or is under way."""
        return 0.0 if self._until is None else max(0.0, self._until - now)

    def begin_trial(self) -> None:
        self._trying = True

    def abandon_trial(self) -> None:
        """The trial ended without telling anything: its caller left."""
        self._trying = False

    def succeed(self, *, trial: bool) -> bool:
        """Whether this closed the circuit. What began before it opened proves nothing about now."""
        if trial:
            self._until, self._open_s, self._trying = None, 0.0, False
            self._outcomes.clear()
        self._in_a_row = 0
        self._outcomes.append(True)
        return trial

    def fail(self, now: float, *, trial: bool) -> None:
        if trial:
            self._trying = False
            self._open(now)
        elif self._until is None:
            self._in_a_row += 1
            self._outcomes.append(False)
            full = len(self._outcomes) == WINDOW
            if self._in_a_row >= FAILURES_IN_A_ROW or (full and self._outcomes.count(False) > WINDOW / 2):
                self._open(now)

    def _open(self, now: float) -> None:
        self._open_s = min(MAX_OPEN_S, 2 * self._open_s or FIRST_OPEN_S)
        # Between three quarters and the whole, so that workers do not all try at once.
        self._until = now + self._open_s * (0.75 + 0.25 * self._random.random())
        self._in_a_row = 0
