"""What calls take: of one instance, and compared with the whole pool."""

import math
from collections import deque

SMOOTH_S = 3.0
"""The average forgets with this time constant: a slow instance is known within seconds, one slow call is not."""
MIN_STEP = 0.05
"""Of the average towards a new sample, however soon it follows the one before."""
FORGET_S = 5.0
"""An instance that gets no calls is thought of as ordinary again with this time constant, or it would never get one."""
WINDOW_S = 30.0
MAX_SAMPLES = 300
MIN_SAMPLES = 20
"""Below this a 95th percentile is one call's luck."""
BASELINE_STEP = 0.05
MAX_SLOWNESS = 20.0
"""As far as one call can move an average: beyond it an instance gets nothing anyway, and must be forgiven in time."""


class Baseline:
    """The pool's own mean for calls of a size, so that a long batch does not make its instance look slow."""

    def __init__(self) -> None:
        self._means: dict[int, float] = {}

    def expected_ms(self, size: int) -> float | None:
        return self._means.get(_class(size))

    def relative(self, size: int, took_ms: float) -> float:
        """`took_ms` as a multiple of what calls of this size take in this pool; remembered."""
        took_ms = max(took_ms, 0.01)
        mean = self._means.setdefault(_class(size), took_ms)
        self._means[_class(size)] = mean + BASELINE_STEP * (min(took_ms, MAX_SLOWNESS * mean) - mean)
        return took_ms / mean


def _class(size: int) -> int:
    """Sizes within a factor of two are alike."""
    return size.bit_length()


class Meter:
    """The calls that one instance answered lately."""

    def __init__(self) -> None:
        self.ewma_ms: float | None = None
        self.answered_at = -math.inf
        self._slowness = 1.0
        self._samples: deque[tuple[float, float, float]] = deque(maxlen=MAX_SAMPLES)
        self._begun: deque[tuple[int, int]] = deque()

    def begin(self, now: float) -> None:
        """A call was sent here."""
        second = int(now)
        count = self._begun.pop()[1] if self._begun and self._begun[-1][0] == second else 0
        self._begun.append((second, count + 1))
        self._forget_calls(now)

    def answer(self, now: float, took_ms: float, relative: float) -> None:
        """A call was answered; `relative` is its time as a multiple of the pool's for such calls."""
        before_ms = took_ms if self.ewma_ms is None else self.ewma_ms
        step = max(MIN_STEP, 1 - math.exp((self.answered_at - now) / SMOOTH_S))  # the first one is the average
        self.ewma_ms = before_ms + step * (took_ms - before_ms)
        self._slowness += step * (min(relative, MAX_SLOWNESS) - self._slowness)
        self.answered_at = now
        self._samples.append((now, took_ms, relative))

    def slowness(self, now: float) -> float:
        """What calls take here as a multiple of the pool's mean: 1 is ordinary, and what silence returns to."""
        return 1 + (self._slowness - 1) * math.exp(min(0.0, (self.answered_at - now) / FORGET_S))

    def calls(self, now: float) -> int:
        """How many were sent here within the last 30 s."""
        self._forget_calls(now)
        return sum(count for _, count in self._begun)

    def p95_ms(self, now: float) -> float | None:
        """Of the answers of the last 30 s; none where they are too few to tell."""
        return self._p95(now, 1)

    def p95_relative(self, now: float) -> float | None:
        """The same as a multiple of what the pool takes for such calls."""
        return self._p95(now, 2)

    def forget_answers(self) -> None:
        """Judge by what comes from now on."""
        self._samples.clear()
        self._slowness = 1.0

    def _p95(self, now: float, column: int) -> float | None:
        while self._samples and now - self._samples[0][0] > WINDOW_S:
            self._samples.popleft()
        if len(self._samples) < MIN_SAMPLES:
            return None
        values = sorted(sample[column] for sample in self._samples)
        return values[math.ceil(0.95 * len(values)) - 1]

    def _forget_calls(self, now: float) -> None:
        while self._begun and now - self._begun[0][0] > WINDOW_S:
            self._begun.popleft()
