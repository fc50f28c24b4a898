"""A pool in virtual time: servers that take their time, callers that come at random, and a clock that jumps."""

import heapq
import itertools
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from processors.errors import Transient
from streams.pools.member import Call, Member
from streams.pools.roster import Roster
from streams.settings import Instance


class VirtualClock:
    """Time that a test sets."""

    def __init__(self) -> None:
        self.at = 1_000.0

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.at, UTC)

    def monotonic(self) -> float:
        return self.at

    async def sleep(self, delay_s: float) -> None:
        self.at += delay_s


class NoPort:
    """Stands where a backend would: the roster never calls it."""

    async def open(self) -> None: ...

    async def close(self) -> None: ...

    async def check(self) -> str:
        return ""


@dataclass
class Server:
    """How an instance behaves."""

    service_s: float = 0.05
    lanes: int = 10_000
    """Calls that it works on at once; others wait in line."""
    dead: bool = False

    def __post_init__(self) -> None:
        self.free_at = [0.0] * min(self.lanes, 64)

    def answer_at(self, now: float, dice: random.Random) -> float:
        took = self.service_s * dice.uniform(0.7, 1.5)
        if self.lanes > 64:
            return now + took
        begins = max(now, self.free_at[0])
        heapq.heapreplace(self.free_at, begins + took)
        return begins + took


class Simulation:
    """Callers that come at random, at a rate, and what became of their calls."""

    def __init__(self, *servers: Server, seed: int = 1, instances: list[Instance] | None = None) -> None:
        self.clock = VirtualClock()
        self.dice = random.Random(seed)
        self.roster: Roster[NoPort] = Roster("embedder", self.clock, random.Random(seed + 1))
        self.servers: dict[int, Server] = {}
        for number, server in enumerate(servers):
            instance = instances[number] if instances else Instance(url=f"x://{number}")
            member = self.roster.add(instance, NoPort())
            member.usable = True
            self.servers[id(member)] = server
        self.sent: Counter[str] = Counter()
        self.failed = self.retried = 0
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()

    def run(self, seconds: float, *, rate: float) -> Counter[str]:
        """Calls by instance within this time."""
        self.sent = Counter()
        until = self.clock.at + seconds
        self._at(self.clock.at, lambda: self._arrive(rate, until))
        self._at(self.clock.at, lambda: self._review(until))
        while self._events and self._events[0][0] <= until:
            self.clock.at, _, happen = heapq.heappop(self._events)
            happen()
        self.clock.at = until
        return self.sent

    def share(self, seconds: float, *, rate: float, of: int) -> float:
        sent = self.run(seconds, rate=rate)
        return sent[self.roster.members[of].instance.url] / max(1, sum(sent.values()))

    def _at(self, when: float, happen: Callable[[], None]) -> None:
        heapq.heappush(self._events, (when, next(self._order), happen))

    def _arrive(self, rate: float, until: float) -> None:
        when = self.clock.at + self.dice.expovariate(rate)
        if when <= until:
            self._at(when, lambda: self._arrive(rate, until))
        try:
            self._send(self.roster.begin(self.dice.choice((100, 5_000))))
        except Transient:
            self.failed += 1

    def _send(self, call: Call[NoPort]) -> None:
        member: Member[NoPort] = call.member
        self.sent[member.instance.url] += 1
        server = self.servers[id(member)]
        if server.dead:
            self._at(self.clock.at + 0.001, lambda: self._refuse(call))
        else:
            # Long calls take longer everywhere: no fault of who got one.
            extra = 1.0 if call.size < 1_000 else 4.0
            ends = server.answer_at(self.clock.at, self.dice)
            self._at(self.clock.at + (ends - self.clock.at) * extra, lambda: self._end(call, None))

    def _refuse(self, call: Call[NoPort]) -> None:
        error = Transient("refused")
        self._end(call, error)
        try:
            self._send(self.roster.elsewhere(call, error))
            self.retried += 1
        except Transient:
            self.failed += 1

    @staticmethod
    def _end(call: Call[NoPort], error: Transient | None) -> None:
        call.__exit__(type(error) if error else None, error, None)

    def _review(self, until: float) -> None:
        self.roster.review()
        if self.clock.at + 1 <= until:
            self._at(self.clock.at + 1, lambda: self._review(until))
