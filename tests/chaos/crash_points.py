"""Every await that a run passes, and what a process that dies there leaves behind: broker, commits and index.

A process that dies takes nothing along but its memory, so one run shows what all deaths in it leave. Where the world
looks the same at two awaits, one recovery proves both.
"""

import asyncio
import dis
import sys
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

from processors.errors import Poison
from processors.ports import Head
from streams.runtime.offsets import Partition
from streams.runtime.records import Outgoing, Record
from tests.chaos.memory import MemoryRun, MortalBroker
from tests.chaos.memory_index import Key, Stored

ROOT = Path(__file__).parents[2]
WATCHED = tuple(str(ROOT / package) for package in ("processors", "schemas", "streams"))
AWAITS = frozenset({"GET_AWAITABLE", "GET_ANEXT"})

Trace = Callable[[FrameType, str, Any], Any]


@cache
def awaits(code: CodeType) -> Mapping[int, str]:
    """Where a function awaits: the instructions before each await, and those after it. Files of the product only."""
    if not code.co_filename.startswith(WATCHED):
        return {}
    found: dict[int, str] = {}
    line = code.co_firstlineno
    for each in dis.get_instructions(code):
        line = each.starts_line or line
        where = f"{Path(code.co_filename).relative_to(ROOT)}:{line} {code.co_qualname}"
        if each.opname in AWAITS:
            found[each.offset] = f"{where}, before"
        elif each.opname == "SEND":
            found[each.argval] = f"{where}, after"
    return found


def awaits_of(path: Path) -> frozenset[str]:
    """Every await that stands in a file, as `Points` names the moment before it."""

    def below(code: CodeType) -> Iterator[str]:
        yield from (name for name in awaits(code).values() if name.endswith("before"))
        for constant in code.co_consts:
            if isinstance(constant, CodeType):
                yield from below(constant)

    return frozenset(below(compile(path.read_text(), str(path), "exec")))


class BufferingBroker(MortalBroker):
    """A broker whose client acknowledges records later, one after the other: one that dies loses its buffer."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._buffer: deque[tuple[Outgoing, asyncio.Future[None]]] = deque()
        self.on_record: Callable[[str], None] = lambda name: None

    async def send(self, record: Outgoing) -> Awaitable[None]:
        delivery: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._buffer.append((record, delivery))
        if len(self._buffer) == 1:
            asyncio.get_running_loop().call_soon(self._deliver)
        return delivery

    def _deliver(self) -> None:
        record, delivery = self._buffer[0]
        try:
            self._append(record)
        except (Poison, ConnectionError) as error:
            delivery.set_exception(error)
        else:
            delivery.set_result(None)
        self.on_record(f"a record reaches {record.topic}")
        self._buffer.popleft()
        if self._buffer:
            asyncio.get_running_loop().call_soon(self._deliver)


@dataclass(frozen=True, slots=True)
class World:
    """What is left when a process dies."""

    logs: Mapping[str, Sequence[Sequence[Record]]]
    commits: Mapping[str, Mapping[Partition, int]]
    rows: Mapping[tuple[Key, int, int], Stored]
    versions: Mapping[Key, Mapping[int, Head]]

    @classmethod
    def of(cls, run: MemoryRun) -> "World":
        return cls(
            {topic: [list(log) for log in logs] for topic, logs in run.broker.logs.items()},
            {group: dict(commits) for group, commits in run.broker.commits.items()},
            dict(run.index.rows),
            {document: dict(heads) for document, heads in run.index.versions.items()},
        )

    def restore(self, run: MemoryRun) -> None:
        """Make it the world of a run that has not begun."""
        for topic, logs in self.logs.items():
            run.broker.logs[topic] = [list(log) for log in logs]
        for group, commits in self.commits.items():
            run.broker.commits[group].update(commits)
        run.index.rows.update(self.rows)
        run.index.versions.update({document: dict(heads) for document, heads in self.versions.items()})


def _fingerprint(run: MemoryRun) -> object:
    """Equal where two worlds of one run are: logs only grow, and everything else in them is never changed."""
    return (
        tuple(len(log) for logs in run.broker.logs.values() for log in logs),
        tuple((group, tuple(commits.items())) for group, commits in run.broker.commits.items()),
        tuple((row, id(stored)) for row, stored in run.index.rows.items()),
        tuple((key, tuple((at, id(head)) for at, head in heads.items())) for key, heads in run.index.versions.items()),
    )


@dataclass(slots=True)
class CrashPoints:
    """Watches a run: each await that it passes, and the worlds in which it does."""

    run: MemoryRun
    passed: list[str] = field(default_factory=list)
    """The names of all points, in order."""
    worlds: dict[object, tuple[str, World]] = field(default_factory=dict)
    """The different ones, each with the name of the first point at which it stood."""

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Inside of the block every await in the product's code is a point."""
        before = sys.gettrace()
        sys.settrace(self._called)
        try:
            yield
        finally:
            sys.settrace(before)

    def pass_by(self, name: str) -> None:
        self.passed.append(name)
        if (mark := _fingerprint(self.run)) not in self.worlds:
            self.worlds[mark] = name, World.of(self.run)

    def _called(self, frame: FrameType, event: str, about: Any) -> Trace | None:
        if not awaits(frame.f_code):
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        return self._stepped

    def _stepped(self, frame: FrameType, event: str, about: Any) -> Trace:
        if event == "opcode" and (name := awaits(frame.f_code).get(frame.f_lasti)) is not None:
            self.pass_by(name)
        return self._stepped
