"""Stores of files on a small disk: `python -m tests.chaos.full_stores DISK` ends with 0 where all is as promised."""

import asyncio
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from processors.backends.objects import UrlObjectStore
from processors.errors import Transient
from schemas import Claim
from streams.spans import SpanStore, StoredSpan
from tests.chaos.small_disk import fill, free, remount


class Stores:
    """The span store and the object store."""

    def __init__(self, disk: Path) -> None:
        self._disk = disk
        self._spans = SpanStore(disk / "spans.db")
        self._objects = UrlObjectStore((disk / "objects").as_uri())
        self._claims: list[Claim] = []
        self._written = 0

    async def open(self) -> None:
        await self._objects.open()

    async def write(self) -> None:
        """All of them take something new, and still have what they had."""
        self._written += 1
        self._spans.add([_span(self._written)])
        self._claims.append(await self._objects.put(_object(self._written)))
        await self.read()

    async def read(self) -> None:
        for number in range(1, self._written + 1):
            assert [span.span_id for span in self._spans.trace(_span(number).trace_id)] == [_span(number).span_id]
        for number, claim in enumerate(self._claims, 1):
            assert await self._objects.get(claim) == _object(number)

    async def refuse(self, why: str) -> None:
        """None takes anything; each says why."""
        with pytest.raises(sqlite3.OperationalError):
            self._spans.add([_span(0)])
        with pytest.raises(Transient, match=why) as refused:
            await self._objects.put(_object(0))
        assert str(self._disk) in refused.value.reason
        assert not list(self._disk.glob("*.damaged")), "a good span store was put aside"


def _span(number: int) -> StoredSpan:
    about: dict[str, object] = {"text": f"{number} " * 20_000}  # more than the rest of a page
    return StoredSpan(
        trace_id=f"{number:032x}",
        span_id=f"{number:016x}",
        parent_id=None,
        name="test",
        service="test",
        kind="internal",
        start_ns=number,
        end_ns=number,
        attributes=about,
    )


def _object(number: int) -> bytes:
    return f"{number} ".encode() * 300_000


async def main(disk: Path) -> None:
    stores = Stores(disk)
    await stores.open()
    await stores.write()
    for why, begin, end in FAULTS:
        begin(disk)
        await stores.refuse(why)
        end(disk)
        await stores.write()


Act = Callable[[Path], object]
FAULTS: tuple[tuple[str, Act, Act], ...] = (
    ("No space left", fill, free),
    ("Read-only file system", lambda disk: remount(disk, "ro"), lambda disk: remount(disk, "rw")),
)

if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
