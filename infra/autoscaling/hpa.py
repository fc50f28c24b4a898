"""The decisions of KEDA 2.17 and of the HorizontalPodAutoscaler of Kubernetes 1.32, as they are documented."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import ceil, inf

from infra.autoscaling.scaled import Direction, ScaledObject

SYNC_S = 15
"""`--horizontal-pod-autoscaler-sync-period`."""
TOLERANCE = 0.1
"""`--horizontal-pod-autoscaler-tolerance`."""


@dataclass(slots=True)
class Autoscaler:
    """One ScaledObject at work: KEDA's operator between zero and one replica, the HPA that it makes above."""

    scaled: ScaledObject
    _active_s: float = -inf
    """When a trigger was last above its activation."""
    _failures: list[int] = field(default_factory=list)
    _recommended: list[tuple[int, int]] = field(default_factory=list)
    _changes: list[tuple[int, int]] = field(default_factory=list)
    """When the HPA changed the replicas, and by how many."""

    def step(self, now_s: int, replicas: int, read: Sequence[float | None]) -> int:
        """The replicas that are to be, called each second. `read`: a number per trigger; None: it cannot be read."""
        known = replicas  # of one that has just begun the HPA learns at its next look
        if now_s % self.scaled.polling_s == 0:
            self._count_failures(read)
            replicas = self._operator(now_s, replicas, read)
        if known and replicas and now_s % SYNC_S == 0:
            replicas = self._hpa(now_s, replicas, read)
        return replicas

    def _count_failures(self, read: Sequence[float | None]) -> None:
        before = self._failures or [0] * len(read)
        self._failures = [0 if value is not None else count + 1 for value, count in zip(read, before, strict=True)]

    def _operator(self, now_s: int, replicas: int, read: Sequence[float | None]) -> int:
        scaled = self.scaled
        triggers = zip(scaled.triggers, read, strict=True)
        if any(value is not None and value > trigger.activation for trigger, value in triggers):
            self._active_s = now_s
            return replicas or max(1, scaled.least)
        if None in read:
            # At zero it stays there: KEDA 2.17 knows no fallback without an HPA (github.com/kedacore/keda/issues/7239).
            return max(replicas, scaled.least)
        if scaled.least == 0 and now_s - self._active_s > scaled.cooldown_s:
            return 0
        return max(replicas, scaled.least)

    def _hpa(self, now_s: int, replicas: int, read: Sequence[float | None]) -> int:
        least, most = max(1, self.scaled.least), self.scaled.most
        if not least <= replicas <= most:
            return min(max(replicas, least), most)
        asked = [self._proposed(place, replicas, value) for place, value in enumerate(read)]
        known = [each for each in asked if each is not None]
        if not known or (None in asked and max(known) < replicas):
            return replicas
        wanted = self._stabilised(now_s, replicas, min(max(*known, least), most))
        if wanted > replicas:
            wanted = min(wanted, most, self._limit_up(now_s, replicas))
        elif wanted < replicas:
            wanted = max(wanted, least, self._limit_down(now_s, replicas))
        if wanted != replicas:
            self._changes.append((now_s, wanted - replicas))
        return wanted

    def _proposed(self, place: int, replicas: int, value: float | None) -> int | None:
        """ceil(value / target), unless that is too little a change; None where the trigger says nothing."""
        trigger, fallback = self.scaled.triggers[place], self.scaled.fallback
        if value is None:
            return max(replicas, fallback.replicas) if self._failures[place] > fallback.failures else None
        value = min(value, trigger.most)
        if abs(1 - value / (trigger.target * replicas)) <= TOLERANCE:
            return replicas
        return ceil(value / trigger.target)

    def _stabilised(self, now_s: int, replicas: int, wanted: int) -> int:
        """Up to the least, or down to the most, of what was wanted within the direction's window."""
        least = min([wanted, *self._within(now_s, self.scaled.up)])
        most = max([wanted, *self._within(now_s, self.scaled.down)])
        longest_s = max(self.scaled.up.window_s, self.scaled.down.window_s)
        self._recommended = [(at_s, each) for at_s, each in self._recommended if at_s > now_s - longest_s]
        self._recommended.append((now_s, wanted))
        return min(max(replicas, least), most)

    def _within(self, now_s: int, direction: Direction) -> list[int]:
        return [wanted for at_s, wanted in self._recommended if at_s > now_s - direction.window_s]

    def _limit_up(self, now_s: int, replicas: int) -> int:
        starts = [(policy, self._start(now_s, replicas, policy.period_s)) for policy in self.scaled.up.policies]
        limits = [
            start + policy.value if policy.kind == "Pods" else ceil(start * (1 + policy.value / 100))
            for policy, start in starts
        ]
        return max(replicas, _selected(self.scaled.up, limits, replicas, most=True))

    def _limit_down(self, now_s: int, replicas: int) -> int:
        starts = [(policy, self._start(now_s, replicas, policy.period_s)) for policy in self.scaled.down.policies]
        limits = [
            start - policy.value if policy.kind == "Pods" else int(start * (1 - policy.value / 100))
            for policy, start in starts
        ]
        return min(replicas, _selected(self.scaled.down, limits, replicas, most=False))

    def _start(self, now_s: int, replicas: int, period_s: int) -> int:
        """Replicas at the start of the policy's period."""
        return replicas - sum(change for at_s, change in self._changes if at_s > now_s - period_s)


def _selected(direction: Direction, limits: Sequence[int], replicas: int, *, most: bool) -> int:
    """`Max` is the policy that changes most, whichever way."""
    if direction.select == "Disabled":
        return replicas
    return max(limits) if (direction.select == "Max") == most else min(limits)
