"""The roster: who is in a pool, and which of them gets the next call. No I/O; the clock and the dice are given."""

import random
from collections.abc import Sequence
from statistics import median
from typing import Generic, TypeVar

from processors.errors import Transient
from processors.ports import Port
from streams.pools.circuit import Circuit
from streams.pools.member import Call, Member
from streams.pools.meter import Baseline
from streams.pools.states import InstanceState
from streams.runtime.clock import Clock
from streams.settings import Instance

P = TypeVar("P", bound=Port)

ALIKE = 1.25
"""Scores within this factor are the same: averages of equal instances differ by as much, and noise must not choose."""
P95_FACTOR = 4.0
"""Times the others' median. Below it the choice by score moves the load well enough; beyond it a call in twenty waits
out of all proportion, and even the few calls that still go there are too many."""
P95_FLOOR_MS = 20.0
"""Nobody notices less."""
FIRST_EXCLUSION_S = 10.0
"""Doubled each time that an instance comes back as slow as it went."""
MAX_EXCLUSION_S = 120.0


class Roster(Generic[P]):
    """Chooses by the power of two choices among the best tier that has healthy members."""

    def __init__(self, port: str, clock: Clock, dice: random.Random) -> None:
        self._port = port
        self._clock = clock
        self._dice = dice
        self._baseline = Baseline()
        self.members: list[Member[P]] = []

    def add(self, instance: Instance, port: P) -> Member[P]:
        """A member that gets calls once it is `usable`."""
        member = Member(instance, port, Circuit(self._dice))
        self.members.append(member)
        return member

    def begin(self, size: int) -> Call[P]:
        """A call of this size at the member that should have it. Raises Transient where there is none."""
        now = self._clock.monotonic()
        member = self._trial(now) or self._pick(now) or self._at_need(now, None)
        if member is None:
            raise self._nobody(now)
        return Call(member, size, self._baseline, self._clock, second=False)

    def elsewhere(self, failed: Call[P], error: Transient) -> Call[P]:
        """The same call at another member; raises `error` where there is none, or where this was the second already."""
        now = self._clock.monotonic()
        if not failed.second:
            other = (
                self._pick(now, failed.member) or self._trial(now, failed.member) or self._at_need(now, failed.member)
            )
            if other is not None:
                return Call(other, failed.size, self._baseline, self._clock, second=True)
        raise Transient(error.reason, retry_after_s=self._overloaded_s(now)) from error

    def review(self) -> None:
        """Look whose p95 is past its bound; once a second is often enough."""
        now = self._clock.monotonic()
        for member in self.members:
            if not member.serves(now):
                continue
            if self._is_slow(member, now):
                member.slow_for_s = min(MAX_EXCLUSION_S, 2 * member.slow_for_s or FIRST_EXCLUSION_S)
                member.slow_until = now + member.slow_for_s
                member.returns(member.slow_until)
            elif member.slow_for_s and now - member.slow_until > member.slow_for_s:
                member.slow_for_s = 0.0

    def states(self) -> list[InstanceState]:
        """What is known about each member, for people."""
        now = self._clock.monotonic()
        calls = {id(member): member.meter.calls(now) for member in self.members}
        total = sum(calls.values())
        return [_state(member, now, calls[id(member)] / total if total else 0.0) for member in self.members]

    def _trial(self, now: float, without: Member[P] | None = None) -> Member[P] | None:
        """A member whose circuit waits for a call that decides, unless a better tier serves."""
        best = min((member.instance.tier for member in self.members if member.serves(now)), default=None)
        for member in self.members:
            wanted = best is None or member.instance.tier <= best
            if wanted and member is not without and member.awaits_trial(now):
                return member
        return None

    def _pick(self, now: float, without: Member[P] | None = None) -> Member[P] | None:
        healthy = [member for member in self.members if member.serves(now) and member is not without]
        return self._less_loaded(healthy, now)

    def _at_need(self, now: float, without: Member[P] | None) -> Member[P] | None:
        """Where nobody is healthy: an instance that is slow or said to be ill is better than none."""
        left = [member for member in self.members if member.serves_at_need(now) and member is not without]
        return self._less_loaded(left, now)

    def _less_loaded(self, members: Sequence[Member[P]], now: float) -> Member[P] | None:
        best = min((member.instance.tier for member in members), default=0)
        tier = [member for member in members if member.instance.tier == best]
        if len(tier) < 2:
            return tier[0] if tier else None
        one, other = self._dice.sample(tier, 2)  # in random order, so that the first of two alike is a fair choice
        return other if other.score(now) * ALIKE < one.score(now) else one

    def _is_slow(self, member: Member[P], now: float) -> bool:
        others = [
            each.meter.p95_relative(now)
            for each in self.members
            if each is not member and each.instance.tier == member.instance.tier and each.serves(now)
        ]
        known = [p95 for p95 in others if p95 is not None]
        mine, mine_ms = member.meter.p95_relative(now), member.meter.p95_ms(now)
        if not known or mine is None or mine_ms is None:
            return False
        # A weight below 1 says that the instance is slower by as much, and is no fault of it.
        return mine_ms > P95_FLOOR_MS and mine * min(1.0, member.instance.weight) > P95_FACTOR * median(known)

    def _nobody(self, now: float) -> Transient:
        said = "; ".join(f"{member.instance.url}: {_why(member, now)}" for member in self.members)
        problem = f"no instance of the {self._port} pool can answer ({said or 'its name resolves to none'})"
        return Transient(f"{problem}: `headwater status` shows them", retry_after_s=self._overloaded_s(now))

    def _overloaded_s(self, now: float) -> float | None:
        """How long until an instance takes calls again, where all that work asked for a rest; else none."""
        rests = [
            member.rests_until - now
            for member in self.members
            if member.usable and not member.draining and member.circuit.state(now) == "closed"
        ]
        return min(rests) if rests and min(rests) > 0 else None


def _why(member: Member[P], now: float) -> str:
    if not member.usable:
        return member.last_error or "is being opened"
    state, why = member.state(now)
    return f"{state}, {why}" if why else state


def _state(member: Member[P], now: float, share: float) -> InstanceState:
    state, why = member.state(now)
    if not member.usable and not member.draining:
        state, why = "open", member.last_error or "is being opened"
    return InstanceState(
        url=member.instance.url,
        tier=member.instance.tier,
        weight=member.instance.weight,
        state=state,
        why=why,
        in_flight=member.in_flight,
        ewma_ms=member.meter.ewma_ms and round(member.meter.ewma_ms, 1),
        p95_ms=(p95 := member.meter.p95_ms(now)) and round(p95, 1),
        errors=member.errors,
        last_error=member.last_error,
        share=round(share, 3),
    )
