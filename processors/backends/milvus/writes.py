"""Rows from many events in few writes: what comes while the server is busy goes together in the next one."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from processors.backends.milvus.client import Row
from processors.errors import Poison, Transient
from processors.turns import WHOSE, Turns

MAX_ROWS = 512
"""In a write: some 3 MB with 1,024 dimensions. More gain little, and hold up the loop while they are encoded."""
MAX_BYTES = 16 * 2**20
"""Of texts and vectors in a write; a server takes messages of 64 MiB."""

Upsert = Callable[[Sequence[Row]], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class _Waiting:
    rows: Sequence[Row]
    size: int
    done: asyncio.Future[None]


class GatheredWrites:
    """Writes rows into one collection. The first ones go at once: nobody waits for company.

    So an import, with many events in flight, is written in bulk, and a single document as fast as ever. Where a server
    refuses rows that went together, each event's rows go alone, so that each fails alone.
    """

    def __init__(self, upsert: Upsert, *, at_once: int) -> None:
        self._upsert = upsert
        self._at_once = at_once
        """Writes in flight: with two, one is encoded while the server works on the other."""
        self._waiting: Turns[_Waiting] = Turns()
        self._writers: set[asyncio.Task[None]] = set()

    async def add(self, rows: Sequence[Row]) -> None:
        """Return when the server has acknowledged these rows."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        size = sum(map(_size, rows))
        self._waiting.put(_Waiting(rows, size, done), whose=WHOSE.get(), size=size)
        if len(self._writers) < self._at_once:
            self._writers.add(asyncio.create_task(self._work()))
        await done

    async def close(self) -> None:
        """Cancel what waits, and let what is under way finish; harmless when repeated."""
        for waiting in self._waiting:
            waiting.done.cancel()
        await asyncio.gather(*self._writers)

    async def _work(self) -> None:
        while batch := self._batch():
            await self._write(batch)
        # Here and not in a callback: rows that came between the two would find all writers taken and wait for ever.
        self._writers.remove(asyncio.current_task())  # type: ignore[arg-type]

    def _batch(self) -> list[_Waiting]:
        """What goes next; nothing of those whose sender has given up."""
        batch: list[_Waiting] = []
        rows = size = 0
        while self._waiting:
            waiting = self._waiting.first()
            if batch and (rows + len(waiting.rows) > MAX_ROWS or size + waiting.size > MAX_BYTES):
                break
            self._waiting.pop()
            if not waiting.done.done():
                batch.append(waiting)
                rows, size = rows + len(waiting.rows), size + waiting.size
        return batch

    async def _write(self, batch: Sequence[_Waiting]) -> None:
        # A key that occurs twice would be an error on a server; the later row counts.
        together = {row["id"]: row for waiting in batch for row in waiting.rows}
        attempt = asyncio.ensure_future(self._upsert(list(together.values())))
        await asyncio.wait([attempt])
        if attempt.cancelled():  # by gRPC, which does so where it gives up a call
            error: BaseException | None = Transient("the client gave up a write: is Milvus running?")
        else:
            error = attempt.exception()
        if isinstance(error, Poison) and len(batch) > 1:
            for waiting in batch:
                await self._write([waiting])
            return
        for waiting in batch:
            if waiting.done.done():  # its sender has given up
                continue
            if error is None:
                waiting.done.set_result(None)
            else:
                waiting.done.set_exception(error)


def _size(row: Row) -> int:
    return 512 + len(row.get("text", "")) + 4 * len(row.get("dense", ()))
