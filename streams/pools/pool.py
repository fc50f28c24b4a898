"""A pool: the instances behind one port, opened, watched, and changed as their names change."""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar, runtime_checkable

from processors.errors import Poison, Transient
from processors.ports import Port, Probed
from streams.pools.addresses import Resolve, by_dns, instances, names_many, plain
from streams.pools.health import PROBE_EVERY_S, Health
from streams.pools.member import Call, Member
from streams.pools.roster import Roster
from streams.pools.states import Board
from streams.runtime.clock import Clock
from streams.settings import Instance

log = logging.getLogger("headwater.pools")

P = TypeVar("P", bound=Port)
T = TypeVar("T")

REVIEW_EVERY_S = 1.0
RESOLVE_EVERY_S = 5.0
"""Kubernetes gives its names a TTL of 5 s, and CoreDNS caches for as long."""
MISSED = 2
"""Lookups in a row without an address before its instance is drained: one answer may be incomplete."""


@runtime_checkable
class _Modelled(Protocol):
    @property
    def model(self) -> str: ...


@runtime_checkable
class _Dimensioned(Protocol):
    @property
    def dimensions(self) -> int: ...


@dataclass(slots=True, kw_only=True)
class Surroundings:
    """What pools need from outside."""

    clock: Clock
    board: Board
    health: Health
    dice: random.Random = field(default_factory=random.Random)
    resolve: Resolve = by_dns


class Pool(Generic[P]):
    """Any number of instances of one port. Opens where at least one of them does; the others join when they can."""

    def __init__(
        self, port: str, named: Sequence[Instance], build: Callable[[str], P], surroundings: Surroundings
    ) -> None:
        self.port = port
        self.roster: Roster[P] = Roster(port, surroundings.clock, surroundings.dice)
        self._build = build
        self._around = surroundings
        self._names = [instance for instance in named if names_many(instance.url)]
        self._tasks: list[asyncio.Task[None]] = []
        self._opening = asyncio.Lock()
        self._said: dict[str, str] = {}
        self._first: Member[P] | None = None
        """The first that opened: what it serves, all must serve for as long as the pool is open, itself gone or not."""
        for instance in named:
            backend = build(plain(instance.url))  # a URL that cannot work is refused before anything is opened
            if instance not in self._names:
                self.roster.add(instance, backend)

    @property
    def first(self) -> P:
        """A port that stands for all: they are one model."""
        if self._first is not None:
            return self._first.port
        return self._build(plain((self._names or [self.roster.members[0].instance])[0].url))

    async def open(self) -> None:
        async with self._opening:
            if self._tasks:
                return
            await self._follow_names()
            await self._open_members()
            if not any(member.usable for member in self.roster.members):
                why = "; ".join(f"{member.instance.url}: {member.last_error}" for member in self.roster.members)
                raise Transient(f"no instance of the {self.port} pool opens ({why or 'its name resolves to none'})")
            self._around.board.show(self.port, self.roster.states)
            for every_s, work in (
                (REVIEW_EVERY_S, self._review),
                (RESOLVE_EVERY_S, self._follow_names),
                (RESOLVE_EVERY_S, self._open_members),  # apart: one that hangs must not keep others from leaving
                (PROBE_EVERY_S, self._probe),
            ):
                task = asyncio.create_task(self._repeat(every_s, work))
                task.add_done_callback(_ended)
                self._tasks.append(task)

    async def close(self) -> None:
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._around.board.withdraw(self.port)
        for member in self.roster.members:
            member.usable = False
            await member.port.close()
        self._first = None

    async def check(self) -> str:
        """What each instance says. Raises what the first says that cannot work, where none of them can."""
        found = await asyncio.gather(
            *(member.port.check() for member in self.roster.members if member.usable), return_exceptions=True
        )
        failed = [each for each in found if isinstance(each, BaseException)]
        for error in failed:
            if len(failed) == len(found) or not isinstance(error, Transient):
                raise error
        away = [member for member in self.roster.members if not member.usable]
        said = [str(each) for each in found] + [f"away: {each.instance.url}: {each.last_error}" for each in away]
        return f"{len(found) - len(failed)} of {len(self.roster.members)} instances: {' | '.join(said)}"

    async def run(self, size: int, work: Callable[[P], Awaitable[T]]) -> T:
        """What `work` makes of the port of one instance; where that cannot work now, of another one's."""
        call = self.roster.begin(size)
        while True:
            try:
                with call:
                    return await work(call.member.port)
            except Transient as error:
                call = self.elsewhere(call, error)

    def elsewhere(self, call: Call[P], error: Transient) -> Call[P]:
        """As the roster says, with a line in the log."""
        other = self.roster.elsewhere(call, error)
        about = {"port": self.port, "failed": call.member.instance.url, "instead": other.member.instance.url}
        log.info("another instance", extra={**about, "reason": error.reason})
        return other

    async def _repeat(self, every_s: float, work: Callable[[], Awaitable[None]]) -> None:
        while True:
            await self._around.clock.sleep(every_s)
            await work()

    async def _review(self) -> None:
        self.roster.review()
        for member in [each for each in self.roster.members if each.gone]:
            await member.port.close()
            self.roster.members.remove(member)
        said, self._said = self._said, {}
        for instance in self.roster.states():
            state = "open" if instance.state == "half-open" else instance.state
            if said.get(instance.url, "closed") != state:
                about = {"port": self.port, "instance": instance.url, "state": state, "reason": instance.why}
                log.warning("instance", extra=about)
            self._said[instance.url] = state
        self._around.board.write()

    async def _probe(self) -> None:
        """Ask for the health of those that answered nothing lately: an answer is the better proof."""
        now = self._around.clock.monotonic()
        quiet = [
            member
            for member in self.roster.members
            if member.usable
            and now - member.meter.answered_at > PROBE_EVERY_S
            and member.circuit.state(now) == "closed"
        ]
        await asyncio.gather(*(self._ask(member) for member in quiet))

    async def _ask(self, member: Member[P]) -> None:
        if not isinstance(member.port, Probed):
            return
        before, member.ill = member.ill, await self._around.health.ill(member.instance.url, member.port)
        if before and not member.ill:
            member.returns(self._around.clock.monotonic())

    async def _follow_names(self) -> None:
        for named in self._names:
            try:
                found = await instances(named.url, self._around.resolve)
            except Transient as error:
                # A name server that is away takes no instance away with it.
                log.warning("name", extra={"port": self.port, "reason": error.reason})
                continue
            there = {member.instance.url: member for member in self.roster.members if not member.draining}
            for url in sorted(found - there.keys()):
                member = self.roster.add(named.model_copy(update={"url": url}), self._build(url))
                member.name = named.url
                if self._tasks:  # the others are warm
                    member.returns(self._around.clock.monotonic())
            for url, member in there.items():
                if member.name == named.url:
                    member.missed = 0 if url in found else member.missed + 1
                    member.draining = member.missed >= MISSED

    async def _open_members(self) -> None:
        due = [member for member in self.roster.members if not member.usable and not member.draining]
        refused = await asyncio.gather(*(self._open_member(member) for member in due))
        problem = next((error for error in refused if error is not None), None)
        if problem is not None and not self._tasks:
            raise problem

    async def _open_member(self, member: Member[P]) -> Poison | None:
        """Open one instance; what is wrong with it, where waiting will not help."""
        member.opening = True
        try:
            await member.port.open()
            self._compare(member)
        except Transient as error:
            member.last_error = error.reason
            await member.port.close()
            return None
        except Poison as error:
            member.last_error = error.detail
            await member.port.close()  # the next attempt asks anew what it serves
            return error
        finally:
            member.opening = False
        member.usable = True
        return None

    def _compare(self, member: Member[P]) -> None:
        """Raises Poison where it is another model than the first's: their answers could not be mixed."""
        first = self._first = self._first or member
        mine, theirs = _identity(member.port), _identity(first.port)
        if mine != theirs:
            raise Poison(
                "pool-mismatch",
                f"{self.port}: {member.instance.url} serves {mine}, {first.instance.url} {theirs}: all instances of a "
                "pool must serve the same model; start the workers anew to change it for all",
            )


def _ended(task: asyncio.Task[None]) -> None:
    """Watching ends with its pool; otherwise that is a bug, and calls go on without it."""
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("a pool is no longer watched", exc_info=error)


def _identity(port: Port) -> str:
    model = port.model if isinstance(port, _Modelled) else ""
    return f"{model} with {port.dimensions} dimensions" if isinstance(port, _Dimensioned) else model
