"""Gathering rows into few writes, on a server that the test holds in its hands."""

import asyncio
from collections.abc import Sequence

import pytest

from processors.backends.milvus import writes as milvus_writes
from processors.backends.milvus.client import Row
from processors.backends.milvus.writes import GatheredWrites
from processors.errors import Poison, Transient


class Held:
    """Takes a write, and answers it when it is told to."""

    def __init__(self) -> None:
        self.came: list[list[str]] = []
        self.free = asyncio.Event()
        self.refuses = ""

    async def upsert(self, rows: Sequence[Row]) -> None:
        ids = [row["id"] for row in rows]
        self.came.append(ids)
        await self.free.wait()
        if self.refuses in ids:
            raise Poison("index-refused", f"{self.refuses} is bad")


def row(name: str, text: str = "") -> Row:
    return {"id": name, "text": text, "dense": [0.0, 1.0]}


async def start(writes: GatheredWrites, *slices: Sequence[Row]) -> list[asyncio.Task[None]]:
    tasks = []
    for rows in slices:
        tasks.append(asyncio.create_task(writes.add(rows)))
        for _ in range(5):  # turns of the loop: until it is under way
            await asyncio.sleep(0)
    return tasks


async def test_the_first_rows_go_at_once_and_what_comes_meanwhile_goes_together() -> None:
    server = Held()
    writes = GatheredWrites(server.upsert, at_once=1)
    tasks = await start(writes, [row("a")], [row("b"), row("c")], [row("d")])
    assert server.came == [["a"]]
    server.free.set()
    await asyncio.gather(*tasks)
    assert server.came == [["a"], ["b", "c", "d"]]
    await asyncio.gather(*await start(writes, [row("e")]))
    assert server.came[-1] == ["e"]


async def test_a_write_is_acknowledged_only_with_its_own_rows() -> None:
    server = Held()
    writes = GatheredWrites(server.upsert, at_once=1)
    [task] = await start(writes, [row("a")])
    assert not task.done()
    server.free.set()
    await task


async def test_so_many_writes_are_under_way_and_no_more() -> None:
    server = Held()
    writes = GatheredWrites(server.upsert, at_once=2)
    tasks = await start(writes, [row("a")], [row("b")], [row("c")])
    assert len(server.came) == 2
    server.free.set()
    await asyncio.gather(*tasks)


async def test_a_write_is_as_large_as_the_server_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(milvus_writes, "MAX_ROWS", 3)
    monkeypatch.setattr(milvus_writes, "MAX_BYTES", 4_000)
    server = Held()
    writes = GatheredWrites(server.upsert, at_once=1)
    large = [row("f", "x" * 3_000)], [row("g", "x" * 3_000)]
    slices = ([row("a")], [row("b"), row("c")], [row("d")], [row("e")], *large)
    tasks = await start(writes, [row("first")], *slices)
    server.free.set()
    await asyncio.gather(*tasks)
    assert server.came == [["first"], ["a", "b", "c"], ["d", "e"], ["f"], ["g"]]


async def test_a_key_that_two_events_bring_is_written_once() -> None:
    server = Held()
    writes = GatheredWrites(server.upsert, at_once=1)
    tasks = await start(writes, [row("a")], [row("b")], [row("b")])
    server.free.set()
    await asyncio.gather(*tasks)
    assert server.came == [["a"], ["b"]]


async def test_what_the_server_refuses_fails_alone() -> None:
    server = Held()
    server.refuses = "bad"
    writes = GatheredWrites(server.upsert, at_once=1)
    tasks = await start(writes, [row("a")], [row("b")], [row("bad")], [row("c")])
    server.free.set()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [type(None), type(None), Poison, type(None)]


async def test_an_outage_reaches_all_who_wait_for_that_write() -> None:
    async def down(_rows: Sequence[Row]) -> None:
        raise Transient("down")

    writes = GatheredWrites(down, at_once=1)
    outcomes = await asyncio.gather(writes.add([row("a")]), writes.add([row("b")]), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [Transient, Transient]


async def test_rows_of_a_sender_that_gave_up_are_not_written() -> None:
    server = Held()
    writes = GatheredWrites(server.upsert, at_once=1)
    first, second, third = await start(writes, [row("a")], [row("b")], [row("c")])
    second.cancel()
    await asyncio.gather(second, return_exceptions=True)
    server.free.set()
    await asyncio.gather(first, third)
    assert server.came == [["a"], ["c"]]


async def test_closing_ends_what_waits_and_finishes_what_is_under_way() -> None:
    server = Held()
    writes = GatheredWrites(server.upsert, at_once=1)
    first, second = await start(writes, [row("a")], [row("b")])
    closing = asyncio.create_task(writes.close())
    await asyncio.sleep(0)
    server.free.set()
    await closing
    await first
    with pytest.raises(asyncio.CancelledError):
        await second
    await writes.close()


async def test_a_write_that_the_client_gives_up_strands_nobody() -> None:
    given_up = [True]

    async def upsert(rows: Sequence[Row]) -> None:
        if given_up:
            given_up.clear()
            raise asyncio.CancelledError

    writes = GatheredWrites(upsert, at_once=1)
    async with asyncio.timeout(10):
        with pytest.raises(Transient, match="gave up"):
            await writes.add([row("a")])
        await writes.add([row("a")])
        await writes.close()
