"""Ports that write down when they worked, so that their time can be taken off a question's."""

import os
import struct
import time
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import aclosing, contextmanager
from pathlib import Path
from typing import Any

from processors.ports import Fragment, Role, Search, Vectors
from schemas import Passage

Span = tuple[int, int]
"""Start and end in nanoseconds of the machine's monotonic clock, which all processes share."""
RECORD = struct.Struct("<QQ")


class Log:
    """Spans of work, appended to a file as they end."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    @contextmanager
    def work(self) -> Iterator[None]:
        """Everything inside is the port's own time."""
        started = time.perf_counter_ns()
        try:
            yield
        finally:
            os.write(self._file, RECORD.pack(started, time.perf_counter_ns()))


def spans(path: Path) -> list[Span]:
    """What a log's file holds."""
    return [(start, end) for start, end in RECORD.iter_unpack(path.read_bytes())]


def busy_ns(work: Iterable[Span], start: int, end: int) -> int:
    """Nanoseconds between `start` and `end` in which at least one span ran."""
    total, reached = 0, start
    for began, ended in sorted(work):
        total += max(0, min(ended, end) - max(began, reached))
        reached = max(reached, min(ended, end))
    return total


class _Timed:
    """Passes everything on to a port; what a query stage calls is timed by the subclass."""

    def __init__(self, port: Any, log: Log) -> None:
        self._port = port
        self._log = log

    async def open(self) -> None:
        await self._port.open()

    async def close(self) -> None:
        await self._port.close()

    async def check(self) -> str:
        return str(await self._port.check())

    def __getattr__(self, name: str) -> Any:
        return getattr(self._port, name)


class TimedEmbedder(_Timed):
    async def embed(self, texts: Sequence[str], *, role: Role) -> Vectors:
        with self._log.work():
            return await self._port.embed(texts, role=role)  # type: ignore[no-any-return]


class TimedIndex(_Timed):
    async def search(self, search: Search) -> Sequence[Passage]:
        with self._log.work():
            return await self._port.search(search)  # type: ignore[no-any-return]


class TimedReranker(_Timed):
    async def rerank(self, question: str, passages: Sequence[Passage]) -> Sequence[float]:
        with self._log.work():
            return await self._port.rerank(question, passages)  # type: ignore[no-any-return]


class TimedGenerator(_Timed):
    async def generate(self, question: str, passages: Sequence[Passage]) -> AsyncIterator[Fragment]:
        """Only the wait for a fragment counts, not what the pipeline does with it."""
        async with aclosing(self._port.generate(question, passages)) as fragments:
            while True:
                try:
                    with self._log.work():
                        fragment = await anext(fragments)
                except StopAsyncIteration:
                    return
                yield fragment


class TimedPorts:
    """The ports of a deployment, with those of the query path timed."""

    def __init__(self, ports: Any, log: Log) -> None:
        self.parser = ports.parser
        self.objects = ports.objects
        self.embedder: Any = TimedEmbedder(ports.embedder, log)
        self.index: Any = TimedIndex(ports.index, log)
        self.reranker: Any = TimedReranker(ports.reranker, log)
        self.generators: dict[Any, Any] = {
            mode: TimedGenerator(generator, log) for mode, generator in ports.generators.items()
        }
