"""A part's life, on small real processes."""

import asyncio
import os
import shutil
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from streams.local import keeper
from streams.local.errors import PartFailed
from streams.local.keeper import Keeper
from streams.local.parts import Part
from streams.local.room import MIN_FREE_BYTES, shortage
from streams.local.state import PartState

READY = "print('ready', flush=True); import time; time.sleep(600)"


MARK = "the-mute-part"


def program(code: str) -> list[str]:
    return [sys.executable, "-I", "-S", "-c", code]


@asynccontextmanager
async def kept(
    tmp_path: Path, part: Part, shortage: Callable[[], str] = str
) -> AsyncIterator[tuple[Keeper, PartState, list[str]]]:
    """A keeper of that part, its state, and the phases that the state went through; on a disk with room by default."""
    phases: list[str] = []
    board = PartState(name=part.name)
    one = Keeper(part, board, tmp_path / f"{part.name}.log", lambda: phases.append(board.phase), shortage)
    one.start([])
    try:
        yield one, board, phases
    finally:
        await one.stop()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - another process decides
            await asyncio.sleep(0.01)


async def test_a_part_is_ready_when_it_says_so_and_gone_when_stopped(tmp_path: Path) -> None:
    part = Part(name="echo", command=lambda: program(READY), ready_line=b"ready")
    async with kept(tmp_path, part) as (one, board, phases):
        await asyncio.wait_for(one.ready.wait(), 20)
        pid = board.pid
        assert pid is not None
        assert psutil.pid_exists(pid)
        assert phases[-1] == "ready"
    assert not psutil.pid_exists(pid)
    assert phases[-1] == "stopped"


async def test_a_part_that_dies_at_its_first_start_fails_with_its_last_words(tmp_path: Path) -> None:
    part = Part(name="broken", command=lambda: program("print('no such file'); raise SystemExit(3)"), ready_line=b"x")
    async with kept(tmp_path, part) as (one, board, _):
        await asyncio.wait_for(one.settled.wait(), 20)
        assert board.phase == "failed"
        assert "exited with 3" in board.detail
        assert "no such file" in board.detail
        assert str(tmp_path / "broken.log") in board.detail
        assert not one.ready.is_set()


async def test_a_part_that_is_never_ready_fails_and_is_stopped(tmp_path: Path) -> None:
    part = Part(
        name="mute", command=lambda: [*program("import time; time.sleep(600)"), MARK], ready_line=b"x", start_s=0.2
    )
    async with kept(tmp_path, part) as (one, board, _):
        await asyncio.wait_for(one.settled.wait(), 20)
        assert board.phase == "failed"
        assert "not ready after" in board.detail
        assert board.pid is None
    assert [child for child in psutil.Process().children() if MARK in child.cmdline()] == []


async def test_a_part_that_dies_later_is_started_again(tmp_path: Path) -> None:
    part = Part(name="echo", command=lambda: program(READY), ready_line=b"ready")
    async with kept(tmp_path, part) as (one, board, phases):
        await asyncio.wait_for(one.ready.wait(), 20)
        first = board.pid
        assert first is not None
        os.kill(first, signal.SIGKILL)
        await until(lambda: board.phase == "ready" and board.pid != first)
        assert board.restarts == 1
        assert "restarting" in phases


async def test_a_part_that_keeps_dying_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeper, "BACKOFF_S", (0.01, 0.01))
    part = Part(name="frail", command=lambda: program("print('ready', flush=True)"), ready_line=b"ready")
    async with kept(tmp_path, part) as (_, board, _phases):
        await until(lambda: board.phase == "failed")
        assert board.restarts == 2
        assert "exited with 0" in board.detail


async def test_a_part_that_ignores_sigterm_is_killed(tmp_path: Path) -> None:
    stubborn = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + READY
    part = Part(name="stubborn", command=lambda: program(stubborn), ready_line=b"ready", stop_s=0.2)
    async with kept(tmp_path, part) as (one, board, _):
        await asyncio.wait_for(one.ready.wait(), 20)
        pid = board.pid
    assert pid is not None
    assert not psutil.pid_exists(pid)


async def test_a_step_without_a_process_is_ready_when_it_is_done(tmp_path: Path) -> None:
    done: list[str] = []
    async with kept(tmp_path, Part(name="step", prepare=lambda: done.append("it"))) as (one, board, _):
        await asyncio.wait_for(one.ready.wait(), 20)
        assert (done, board.pid, board.log) == (["it"], None, None)


async def test_a_step_that_fails_says_why(tmp_path: Path) -> None:
    def refuse() -> None:
        raise PartFailed("step", "the broker refused")

    async with kept(tmp_path, Part(name="step", prepare=refuse)) as (one, board, _):
        await asyncio.wait_for(one.settled.wait(), 20)
        assert (board.phase, board.detail) == ("failed", "the broker refused")


async def test_a_part_that_ends_for_want_of_room_says_so_and_starts_again_when_there_is_some(tmp_path: Path) -> None:
    short = ["the disk is full: free some space"]
    part = Part(name="echo", command=lambda: program(READY), ready_line=b"ready")
    async with kept(tmp_path, part, lambda: "".join(short)) as (one, board, phases):
        await asyncio.wait_for(one.ready.wait(), 20)
        assert board.pid is not None
        os.kill(board.pid, signal.SIGKILL)
        await until(lambda: "the disk is full" in board.detail)
        assert board.phase == "restarting"
        short.clear()
        await until(lambda: board.phase == "ready")
        assert (board.restarts, board.detail) == (1, "")
        assert "failed" not in phases


def test_a_disk_is_full_where_no_part_could_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert shortage(tmp_path) == ""
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=MIN_FREE_BYTES - 1))
    assert "free some space" in shortage(tmp_path)
