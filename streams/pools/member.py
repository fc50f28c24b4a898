"""A member of a pool: one instance, what is known about it, and what a call to it teaches."""

import asyncio
from dataclasses import dataclass, field
from types import TracebackType
from typing import Generic, Self, TypeVar

from processors.errors import Transient
from processors.ports import Port
from streams.pools.circuit import Circuit
from streams.pools.meter import Baseline, Meter
from streams.pools.states import State
from streams.runtime.clock import Clock
from streams.settings import Instance

P = TypeVar("P", bound=Port)

RETURN_S = 10.0
"""An instance that comes back, or joins, gets its whole share after this long: its caches are cold."""
FIRST_SHARE = 0.1
HANGS = 10.0
"""Times what such a call takes: whoever leaves after that was let down. A deadline may come before any timeout."""
MAX_REST_S = 60.0
"""A Retry-After is honoured up to this; the next answer may renew it."""


@dataclass(slots=True, eq=False)
class Member(Generic[P]):
    """One instance in a pool."""

    instance: Instance
    port: P
    circuit: Circuit
    meter: Meter = field(default_factory=Meter)
    usable: bool = False
    """Opened, and the same model as the others."""
    name: str = ""
    """The setting whose host name it was found under; empty: the settings name it itself."""
    missed: int = 0
    """Lookups in a row that did not find it any more."""
    draining: bool = False
    opening: bool = False
    ill: str = ""
    """What its health route said; empty: well, or not asked."""
    slow_until: float = 0.0
    """Excluded for its p95 until then."""
    slow_for_s: float = 0.0
    rests_until: float = 0.0
    """It answered that it is busy, and for how long."""
    returned_at: float | None = None
    in_flight: int = 0
    unanswered: dict["Call[P]", None] = field(default_factory=dict)
    """Of these, the calls that wait for the first of an answer, oldest first."""
    errors: int = 0
    last_error: str = ""

    @property
    def gone(self) -> bool:
        """Whether it was removed and nobody needs its connection any more."""
        return self.draining and not self.in_flight and not self.opening

    def state(self, now: float) -> tuple[State, str]:
        """The state for people, and why."""
        if self.draining:
            return "draining", "removed from the settings' name; calls under way finish"
        circuit = self.circuit.state(now)
        if circuit != "closed":
            return circuit, self.last_error
        if reason := self.excluded(now):
            return "excluded", reason
        return "closed", ""

    def excluded(self, now: float) -> str:
        """Why it gets no calls although its circuit is closed; empty: it gets them."""
        if now < self.rests_until:
            return f"it asked to be left alone for {self.rests_until - now:.0f} s"
        if self.ill:
            return f"unhealthy: {self.ill}"
        if now < self.slow_until:
            return "its p95 is far above that of the others"
        return ""

    def serves(self, now: float) -> bool:
        """Whether it takes calls as a healthy instance."""
        available = self.usable and not self.draining
        return available and self.circuit.state(now) == "closed" and not self.excluded(now)

    def awaits_trial(self, now: float) -> bool:
        """Whether the next call may go here to see whether it works again."""
        return self.usable and not self.draining and now >= self.rests_until and self.circuit.awaits_trial(now)

    def serves_at_need(self, now: float) -> bool:
        """Whether a call may go here where nobody is healthy: ill or slow, but neither dead nor overloaded."""
        available = self.usable and not self.draining and now >= self.rests_until
        return available and self.circuit.state(now) == "closed"

    def score(self, now: float) -> float:
        """How long a call would take here, as a multiple of the pool's mean: time x (in flight + 1) / weight.

        The time is the average of what was answered, or the wait of the oldest call where that is longer: an instance
        that hangs answers nothing. The weight grows back to its whole after a return.
        """
        slowness = self.meter.slowness(now)
        if self.unanswered:
            slowness = max(slowness, next(iter(self.unanswered)).waiting(now))
        return slowness * (self.in_flight + 1) / (self.instance.weight * self._share(now))

    def returns(self, now: float) -> None:
        """Begin anew with a small share."""
        self.returned_at = now
        self.meter.forget_answers()

    def _share(self, now: float) -> float:
        if self.returned_at is None:
            return 1.0
        share = FIRST_SHARE + (1 - FIRST_SHARE) * max(0.0, now - self.returned_at) / RETURN_S
        if share >= 1:
            self.returned_at = None
        return min(1.0, share)


class Call(Generic[P]):
    """Held while a call is under way at a member; what ends it, the member learns."""

    def __init__(self, member: Member[P], size: int, baseline: Baseline, clock: Clock, *, second: bool) -> None:
        self.member = member
        self.second = second
        """Whether another instance failed at it before."""
        self.answered = False
        self.size = size
        self._baseline = baseline
        self._clock = clock
        self._begun = clock.monotonic()
        self._trial = member.circuit.state(self._begun) == "half-open"
        member.meter.begin(self._begun)
        member.in_flight += 1
        member.unanswered[self] = None
        if self._trial:
            member.circuit.begin_trial()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.member.in_flight -= 1
        self.member.unanswered.pop(self, None)
        now = self._clock.monotonic()
        if isinstance(error, Transient):
            self._fail(now, error)
        elif isinstance(error, asyncio.CancelledError | GeneratorExit):
            self._abandon(now)
        elif error is None:
            self.answer()
        else:
            self._succeed(now)  # it refuses the input, or we have a bug: the instance did answer

    def answer(self) -> None:
        """It has answered: the whole of it, or the first piece of a stream."""
        if not self.answered:
            self.answered = True
            self.member.unanswered.pop(self, None)
            now = self._clock.monotonic()
            self._measure(now)
            self._succeed(now)

    def waiting(self, now: float) -> float:
        """How long it has waited, as a multiple of what such a call takes; 0 where that is not known yet."""
        expected_ms = self._baseline.expected_ms(self.size)
        return (now - self._begun) * 1000 / expected_ms if expected_ms else 0.0

    def _measure(self, now: float) -> None:
        took_ms = (now - self._begun) * 1000
        self.member.meter.answer(now, took_ms, self._baseline.relative(self.size, took_ms))

    def _succeed(self, now: float) -> None:
        self.member.ill = ""  # an answer is the better proof
        if self.member.circuit.succeed(trial=self._trial):
            self.member.returns(now)
        self._trial = False

    def _fail(self, now: float, error: Transient) -> None:
        member = self.member
        member.errors += 1
        member.last_error = error.reason
        if error.retry_after_s is not None:
            # Busy is not broken: it rests for as long as it asked, and its circuit learns nothing.
            member.rests_until = max(member.rests_until, now + min(error.retry_after_s, MAX_REST_S))
            self._leave_trial()
        else:
            member.circuit.fail(now, trial=self._trial)

    def _abandon(self, now: float) -> None:
        """The caller left; that it had waited long is the instance's doing."""
        waited = 0.0 if self.answered else self.waiting(now)
        if waited > self.member.meter.slowness(now):
            self._measure(now)
        if waited > HANGS:
            self.member.errors += 1
            self.member.last_error = f"callers left after {now - self._begun:.1f} s without an answer"
            self.member.circuit.fail(now, trial=self._trial)
        else:
            self._leave_trial()

    def _leave_trial(self) -> None:
        if self._trial:
            self.member.circuit.abandon_trial()
