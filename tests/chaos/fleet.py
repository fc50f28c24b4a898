"""The fleet: worker processes that are killed, stopped, paused and started again."""

import asyncio
import os
import signal
import sys
from collections.abc import Mapping, Sequence, Set
from pathlib import Path
from random import Random
from types import MappingProxyType

from streams.local import tether
from streams.settings import Settings
from tests.chaos.ledger import Fault, Ledger
from tests.chaos.worker import begun, in_hand

READY_LINE = b"worker ready"
READY_S = 60.0
STOP_S = 30.0
SESSION_S = 6.0
"""The shortest that a broker allows: how long the partitions of a dead worker stay dark."""
STRIKE_S = 10.0
"""How long a fault waits for its victim to have something in hand."""
LOOK_S = 0.01


class Member:
    """A place in the fleet: one process at a time, the next one as soon as it dies, until it is retired."""

    def __init__(
        self,
        name: str,
        settings: Settings,
        folder: Path,
        ledger: Ledger,
        *,
        stages: str,
        session_s: float,
        release: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        """`release` is the environment in which its processes find another release of the product."""
        self.name = name
        self._release = release
        self.starts = 0
        self._session_s = session_s
        self._process: asyncio.subprocess.Process | None = None
        # A static member keeps its name, and so its partitions, through a restart.
        own = {"instance_id": f"{settings.instance_id}-{name}"} if settings.instance_id else {}
        self._settings = settings.model_copy(update=own)
        self._stages = stages
        self._folder = folder
        self._ledger = ledger
        self._retired = False
        self._meant = False
        self._keeping = asyncio.create_task(self._keep())

    @property
    def log(self) -> Path:
        return self._folder / f"{self.name}.log"

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.returncode is None

    @property
    def at_work(self) -> bool:
        """Whether the present process has begun anything."""
        return bool(begun(self._journal))

    @property
    def in_hand(self) -> Sequence[str]:
        """Stage and record of what the present process has begun and not finished."""
        return in_hand(self._journal)

    @property
    def handled(self) -> Set[str]:
        """Stage and record of everything that any process of this member has begun."""
        journals = self._folder.glob(f"{self.name}-*.journal")
        return {about for path in journals for about in begun(path).values()}

    @property
    def _journal(self) -> Path:
        return self._folder / f"{self.name}-{self.starts}.journal"

    async def ready(self) -> None:
        """Return when the present process reads records."""
        try:
            async with asyncio.timeout(READY_S):
                while not self._said(READY_LINE):  # noqa: ASYNC110 (another process says it, in a file)
                    await asyncio.sleep(0.05)
        except TimeoutError:
            raise TimeoutError(f"{self.name} is not ready: {self.log.read_text()[-1000:]}") from None

    async def kill(self, *, patience_s: float = STRIKE_S) -> Fault:
        """SIGKILL as soon as it has work in hand; what it had is the evidence. Another process follows."""
        fault = await self._frozen("kill -9", patience_s)
        if self.alive:
            self._meant = True
            self._signal(signal.SIGKILL)
        return fault

    async def pause(self, stage: str = "") -> Fault:
        """SIGSTOP while it has work in hand, in a stage or in any; `resume` ends it."""
        return await self._frozen("SIGSTOP", STRIKE_S, stage)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    async def leave(self, *, patience_s: float = STRIKE_S) -> Fault:
        """SIGTERM as soon as it has work in hand, for good: it finishes that and goes."""
        fault = await self._frozen("SIGTERM", patience_s)
        self.resume()
        await self.close()
        return fault

    async def close(self) -> None:
        """End it, kindly at first."""
        self._retired = self._meant = True
        if self.alive:
            self._signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(asyncio.shield(self._keeping), STOP_S)
        except TimeoutError:
            self._ledger.note(Fault(what="SIGKILL at the end", target=self.name, struck=False, evidence="SIGTERM hung"))
            self._signal(signal.SIGKILL)
            await self._keeping

    async def _frozen(self, what: str, patience_s: float, stage: str = "") -> Fault:
        """Stop the process where it stands with work in hand, and note that; or that it never had any."""
        loop = asyncio.get_running_loop()
        until = loop.time() + patience_s
        while True:
            self._signal(signal.SIGSTOP)
            held = [about for about in self.in_hand if about.startswith(stage)] if self.alive else []
            if held or loop.time() > until:
                break
            self._signal(signal.SIGCONT)
            await asyncio.sleep(LOOK_S)
        fault = Fault(what=what, target=self.name, struck=bool(held), evidence=_evidence(held))
        self._ledger.note(fault)
        return fault

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(number)

    def _said(self, line: bytes) -> bool:
        return self.alive and self.log.exists() and line in self.log.read_bytes()[self._begins :]

    async def _keep(self) -> None:
        while not self._retired:
            self.starts += 1
            self._meant = False
            with self.log.open("ab") as log:
                self._begins = log.tell()
                self._process = await asyncio.create_subprocess_exec(
                    *(sys.executable, tether.__file__, str(os.getpid())),
                    *(
                        sys.executable,
                        "-m",
                        "tests.chaos.worker",
                        str(self._journal),
                        str(self._session_s),
                        self._stages,
                    ),
                    stdout=log,
                    stderr=log,
                    env=os.environ | self._settings.environment | dict(self._release),
                )
            if self._retired:  # while it was being started
                self._signal(signal.SIGTERM)
            code = await self._process.wait()
            if not self._meant:
                self._ledger.note(Fault(what="exit", target=self.name, struck=False, evidence=f"code {code}"))
                await asyncio.sleep(0.5)  # one that cannot start must not be started a thousand times


class Fleet:
    """Workers of one deployment. Ends nothing but what it started."""

    def __init__(self, settings: Settings, folder: Path, ledger: Ledger, *, session_s: float = SESSION_S) -> None:
        self._session_s = session_s
        self._settings = settings
        self._folder = folder
        self._ledger = ledger
        self._names = 0
        self.members: list[Member] = []

    @property
    def in_hand(self) -> Sequence[str]:
        """Stage and record of everything that its workers have begun and not finished."""
        return [about for member in self.members for about in member.in_hand]

    def join(self, *, stages: str = "", release: Mapping[str, str] = MappingProxyType({})) -> Member:
        """One more worker, which hosts these stages (all where none is named); `ready` says when it works."""
        member = Member(
            f"worker{self._names}",
            self._settings,
            self._folder,
            self._ledger,
            stages=stages,
            session_s=self._session_s,
            release=release,
        )
        self._names += 1
        self.members.append(member)
        return member

    async def start(self, count: int, *, stages: str = "") -> None:
        """So many workers, all of them ready."""
        for _ in range(count):
            self.join(stages=stages)
        await self.ready()

    async def ready(self) -> None:
        """Return when every member is at work."""
        await asyncio.gather(*(member.ready() for member in self.members))

    def victim(self, random: Random) -> Member:
        """Some member; not one that started a moment ago, which has nothing to lose yet, where another is at work."""
        members = random.sample(self.members, len(self.members))
        return next((each for each in members if each.at_work), members[0])

    async def leave(self, member: Member, *, patience_s: float = STRIKE_S) -> Fault:
        """The member goes by SIGTERM and is not replaced."""
        self.members.remove(member)
        return await member.leave(patience_s=patience_s)

    async def close(self) -> None:
        for member in self.members:
            member.resume()
        await asyncio.gather(*(member.close() for member in self.members))
        self.members.clear()

    def ends(self, lines: int = 15) -> str:
        """The last lines of all logs, for a person."""
        return "\n".join(
            f"--- {path.name}\n" + "\n".join(path.read_text(errors="replace").splitlines()[-lines:])
            for path in sorted(self._folder.glob("*.log"))
        )


def _evidence(held: Sequence[str]) -> str:
    return f"{len(held)} in hand, {held[0]} among them" if held else "nothing in hand"
