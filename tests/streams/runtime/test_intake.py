"""What is read ahead waits in turns, within its bound; what is lost, closed or crowded out is not run."""

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest

from processors.turns import WHOSE, Whose
from streams.runtime.crowd import Crowd
from streams.runtime.intake import RECORD_BYTES, Intake, ahead_bytes
from streams.runtime.records import Record
from streams.runtime.window import aside
from tests.streams.runtime.wiring import NOW, ManualClock

PARTITION = ("t", 0)


def record(offset: int, key: str, *, size: int = 10, partition: int = 0, bulk: bool = False) -> Record:
    lane = (("hw-lane", b"bulk"),) if bulk else ()
    return Record(
        topic="t",
        partition=partition,
        offset=offset,
        key=key.encode(),
        value=b"x" * size,
        headers=lane,
        timestamp_ms=0,
    )


class Desk:
    """Handles records one at a time, each when it is let go."""

    def __init__(self, *, ahead: int = 1_000_000, crowd: Crowd | None = None, window: int = 1) -> None:
        self.begun: list[str] = []
        self.whose: list[Whose] = []
        self.errors: list[BaseException] = []
        self.gate = asyncio.Semaphore(0)
        self.intake = Intake(
            self.handle,
            max_events=window,
            max_bytes=1_000_000,
            on_error=self.errors.append,
            ahead_bytes=ahead,
            crowd=crowd,
        )

    async def handle(self, record: Record) -> None:
        self.begun.append((record.key or b"").decode())
        self.whose.append(WHOSE.get())
        await self.gate.acquire()

    async def offer(self, records: Sequence[Record], generation: int = 1) -> None:
        for each in records:
            await self.intake.accept(each, generation)
        await asyncio.sleep(0)

    async def finish(self, count: int) -> None:
        for _ in range(count):
            self.gate.release()
            await asyncio.sleep(0)
            await asyncio.sleep(0)


async def test_another_tenant_s_document_is_next_behind_what_is_in_the_window() -> None:
    desk = Desk()
    await desk.offer([record(number, f"a/{number}") for number in range(100)])
    await desk.finish(3)
    await desk.offer([record(100, "b/0")])
    await desk.finish(2)
    assert desk.begun == ["a/0", "a/1", "a/2", "a/3", "b/0", "a/4"]
    assert desk.whose[4] == Whose("b")
    await desk.intake.cancel()


async def test_one_tenant_s_long_work_leaves_an_eighth_of_the_window_to_those_who_have_nothing_in_it() -> None:
    desk = Desk(window=16)
    await desk.offer([record(number, f"a/{number}") for number in range(40)])
    assert len(desk.begun) == 14
    await desk.offer([record(40, "b/0"), record(41, "b/1"), record(42, "c/0"), record(43, "d/0")])
    assert desk.begun[14:] == ["b/0", "c/0"]
    await desk.finish(2)
    assert desk.begun[16:] == ["d/0"]
    await desk.finish(2)
    assert desk.begun[17:] == ["a/14"]
    await desk.intake.cancel()


async def test_an_import_lets_its_own_tenant_s_single_document_go_first() -> None:
    desk = Desk()
    await desk.offer([record(number, f"a/{number}", bulk=True) for number in range(50)])
    await desk.offer([record(50, "a/now")])
    await desk.finish(2)
    assert desk.begun[:2] == ["a/0", "a/now"]
    await desk.intake.cancel()


async def test_nothing_that_waits_is_committed_and_what_is_done_behind_it_is_not_either() -> None:
    desk = Desk()
    await desk.offer([*(record(number, f"a/{number}") for number in range(5)), record(5, "b/0")])
    await desk.finish(3)
    assert desk.begun == ["a/0", "a/1", "b/0", "a/2"]
    assert desk.intake.offsets.due(1) == {PARTITION: 2}
    await desk.finish(3)
    await desk.intake.drain()
    assert desk.intake.offsets.due(1) == {PARTITION: 6}


async def test_the_read_ahead_is_bounded_by_bytes_and_by_events() -> None:
    desk = Desk(ahead=10 * RECORD_BYTES)
    taken = 0

    async def read(size: int) -> None:
        nonlocal taken
        while True:
            await desk.intake.accept(record(taken, f"a/{taken}", size=size), 1)
            taken += 1

    reading = asyncio.create_task(read(0))
    await asyncio.sleep(0.01)
    assert taken == 10
    await desk.finish(3)
    await asyncio.sleep(0.01)
    assert taken == 13
    reading.cancel()
    await desk.intake.cancel()


async def test_a_record_larger_than_the_read_ahead_passes() -> None:
    desk = Desk(ahead=RECORD_BYTES)
    desk.gate = asyncio.Semaphore(100)
    async with asyncio.timeout(5):
        for number in range(5):
            await desk.intake.accept(record(number, f"a/{number}", size=50_000), 1)
        await desk.intake.drain()
    assert len(desk.begun) == 5


async def test_offsets_behind_a_record_that_takes_long_are_not_remembered_without_end() -> None:
    desk = Desk(ahead=20 * RECORD_BYTES, window=2)
    await desk.offer([record(0, "slow/0")])
    desk_gate, desk.gate = desk.gate, asyncio.Semaphore(1_000)
    reading = asyncio.create_task(_accept(desk, range(1, 100)))
    await asyncio.sleep(0.01)
    assert not reading.done()
    assert desk.intake.offsets.in_flight() == 21
    desk_gate.release()
    await reading
    await desk.intake.drain()
    assert desk.intake.offsets.due(1) == {PARTITION: 100}


async def _accept(desk: Desk, offsets: range) -> None:
    for number in offsets:
        await desk.intake.accept(record(number, f"a/{number}"), 1)


async def test_what_waits_of_a_partition_that_is_lost_is_dropped_and_comes_again_in_the_next_generation() -> None:
    desk = Desk()
    await desk.offer([record(number, f"a/{number}", partition=number % 2) for number in range(6)])
    desk.intake.revoke(PARTITION)
    await desk.finish(10)
    assert desk.begun == ["a/0", "a/1", "a/3", "a/5"]
    assert desk.intake.offsets.due(1) == {("t", 1): 6}
    await desk.offer([record(2, "a/2")], generation=1)
    await desk.offer([record(number, f"a/{number}") for number in (0, 2, 4)], generation=2)
    await desk.finish(10)
    assert desk.begun[-3:] == ["a/0", "a/2", "a/4"]
    assert desk.intake.offsets.due(2) == {PARTITION: 5}


async def test_a_closed_intake_finishes_what_is_in_hand_and_gives_up_what_waits() -> None:
    desk = Desk()
    await desk.offer([record(number, f"a/{number}") for number in range(5)])
    desk.intake.close()
    await desk.finish(5)
    await desk.intake.drain()
    await desk.intake.accept(record(5, "a/5"), 1)
    assert desk.begun == ["a/0"]
    assert desk.intake.offsets.due(1) == {PARTITION: 1}


async def test_who_waits_for_room_when_the_intake_closes_is_let_go() -> None:
    desk = Desk(ahead=2 * RECORD_BYTES)
    await desk.offer([record(0, "a/0"), record(1, "a/1")])
    waiting = asyncio.create_task(desk.intake.accept(record(2, "a/2"), 1))
    await asyncio.sleep(0)
    assert not waiting.done()
    await desk.intake.cancel()
    await waiting


async def test_behind_a_failure_nothing_starts() -> None:
    desk = Desk()

    async def broken(_: Record) -> None:
        raise ValueError("odd")

    desk.intake._handle = broken
    await desk.offer([record(number, f"a/{number}") for number in range(5)])
    await desk.intake.drain()
    assert len(desk.errors) == 1
    assert desk.intake.offsets.due(1) == {}


class Told:
    """Refuses questions, and knows when their callers stop waiting."""

    def __init__(self, deadlines: dict[bytes, datetime] | None = None) -> None:
        self.refused: list[tuple[str, float]] = []
        self.deadlines = deadlines or {}

    def deadline(self, record: Record) -> datetime | None:
        return self.deadlines.get(record.key or b"")

    async def refuse(self, record: Record, *, retry_after_s: float) -> None:
        self.refused.append(((record.key or b"").decode(), retry_after_s))


async def test_beyond_as_many_as_may_wait_the_newest_of_whoever_has_most_is_refused() -> None:
    told, clock = Told(), ManualClock()
    desk = Desk(crowd=Crowd(told, 4, clock))
    await desk.offer([record(number, f"a/{number}") for number in range(6)])
    await desk.offer([record(6, "b/0")])
    await asyncio.sleep(0)
    assert [key for key, _ in told.refused] == ["a/5", "a/4"]
    await desk.finish(10)
    await desk.intake.drain()
    assert sorted(desk.begun) == ["a/0", "a/1", "a/2", "a/3", "b/0"]
    assert desk.intake.offsets.due(1) == {PARTITION: 7}


async def test_the_time_to_ask_again_follows_the_pace_of_the_latest() -> None:
    told, clock = Told(), ManualClock()
    desk = Desk(crowd=Crowd(told, 10, clock))
    await desk.offer([record(number, f"a/{number}") for number in range(11)])
    for number in range(60):
        await clock.sleep(3.0)
        await desk.finish(1)
        await desk.offer([record(11 + number, f"a/{11 + number}")])
    await desk.offer([record(100, "a/100")])
    await asyncio.sleep(0)
    assert told.refused[-1][1] == pytest.approx(30.0, rel=0.05)
    await desk.intake.cancel()


async def test_a_question_that_steps_aside_is_not_taken_for_one_that_is_answered() -> None:
    told, clock = Told(), ManualClock()
    crowd = Crowd(told, 10, clock)
    desk = Desk(crowd=crowd, window=2)

    async def handle(_: Record) -> None:
        for _look in range(50):
            async with aside():
                await clock.sleep(0.005)
        await desk.gate.acquire()

    before_s = crowd.retry_after_s(100)
    desk.intake._handle = handle
    await desk.offer([record(number, f"a/{number}") for number in range(12)])
    for _ in range(200):
        await asyncio.sleep(0)
    assert clock.monotonic() > 0.2
    assert crowd.retry_after_s(100) == before_s
    await desk.intake.cancel()


async def test_a_question_that_is_late_or_withdrawn_does_not_wait_for_its_turn() -> None:
    told = Told({b"late": NOW + timedelta(seconds=0.02)})
    desk = Desk(crowd=Crowd(told, 10, ManualClock()))
    await desk.offer([record(0, "busy"), record(1, "a"), record(2, "late"), record(3, "withdrawn"), record(4, "z")])
    desk.intake.hurry(b"withdrawn")
    await asyncio.sleep(0)
    assert desk.begun == ["busy", "withdrawn"]
    await asyncio.sleep(0.1)
    assert desk.begun == ["busy", "withdrawn", "late"]
    await desk.intake.cancel()


async def test_what_has_begun_or_gone_is_not_watched_until_its_deadline() -> None:
    keys = [f"q{number}".encode() for number in range(6)]
    told = Told(dict.fromkeys(keys, NOW + timedelta(days=1)))
    desk = Desk(crowd=Crowd(told, 10, ManualClock()))
    watched: list[asyncio.TimerHandle] = []
    loop = asyncio.get_running_loop()
    call_later = loop.call_later

    def note(*arguments: Any) -> asyncio.TimerHandle:
        watched.append(call_later(*arguments))
        return watched[-1]

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(loop, "call_later", note)
        await desk.offer([record(number, f"q{number}") for number in range(4)])
        await desk.offer([record(number, f"q{number}", partition=1) for number in (4, 5)])
    assert watched
    assert not any(each.cancelled() for each in watched[1:])
    desk.intake.revoke(("t", 1))
    await desk.finish(6)
    await desk.intake.drain()
    assert all(each.cancelled() for each in watched)


def test_the_read_ahead_follows_the_container(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streams.runtime.intake.limit_bytes", lambda: 1024 * 2**20)
    assert ahead_bytes(4) == 32 * 2**20
    monkeypatch.setattr("streams.runtime.intake.limit_bytes", lambda: 64 * 2**30)
    assert ahead_bytes(6) == 128 * 2**20


async def test_a_record_whose_partition_goes_while_it_waits_for_room_is_not_taken_in() -> None:
    desk = Desk(ahead=2 * RECORD_BYTES)
    await desk.offer([record(0, "a/0", partition=1), record(1, "a/1", partition=1)])
    waiting = asyncio.create_task(desk.intake.accept(record(0, "b/0"), 1))
    await asyncio.sleep(0)
    assert not waiting.done()
    desk.intake.revoke(PARTITION)
    await desk.finish(3)
    await waiting
    await desk.intake.drain()
    assert desk.begun == ["a/0", "a/1"]
    assert desk.intake.offsets.due(1) == {("t", 1): 2}
