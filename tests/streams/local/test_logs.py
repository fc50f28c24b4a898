"""A part's log: bounded, and watched for the line that says it is ready."""

import asyncio
import os
from pathlib import Path

from streams.local.logs import PartLog, last_lines


async def write(log: PartLog, *pieces: bytes) -> None:
    """Let a process print these pieces, one by one."""
    reader, writer = os.pipe()
    await log.follow(reader, pid=1)
    for piece in pieces:
        os.write(writer, piece)
        await asyncio.sleep(0)
    os.close(writer)
    await log.ended()


async def test_the_ready_line_is_seen_across_two_reads(tmp_path: Path) -> None:
    log = PartLog(tmp_path / "part.log", b"worker ready")
    reader, writer = os.pipe()
    await log.follow(reader, pid=1)
    os.write(writer, b"starting\nworker re")
    while b"worker re" not in log.path.read_bytes():  # noqa: ASYNC110 - a file is what there is to look at
        await asyncio.sleep(0.001)
    assert not log.seen.is_set()
    os.write(writer, b"ady\n")
    await asyncio.wait_for(log.seen.wait(), 10)
    os.close(writer)
    await log.ended()


async def test_a_new_process_is_not_ready_because_the_last_one_was(tmp_path: Path) -> None:
    log = PartLog(tmp_path / "part.log", b"ready")
    await write(log, b"ready\n")
    assert log.seen.is_set()
    await write(log, b"still starting\n")
    assert not log.seen.is_set()


async def test_a_log_keeps_within_its_bound(tmp_path: Path) -> None:
    log = PartLog(tmp_path / "part.log", max_bytes=10_000)
    await write(log, *[b"x" * 999 + b"\n"] * 100)
    sizes = {path.name: path.stat().st_size for path in tmp_path.iterdir()}  # noqa: ASYNC240 - a test may block
    assert set(sizes) == {"part.log", "part.log.1"}
    # A single read may bring more than the bound: the pipe holds 64 KB.
    assert max(sizes.values()) <= 10_000 + 65_536


async def test_the_last_lines_are_those_of_the_last_process(tmp_path: Path) -> None:
    log = PartLog(tmp_path / "part.log")
    await write(log, b"old\n")
    await write(log, b"one\n\ntwo\n")
    assert last_lines(log.path, 5) == ["one", "two"]
    assert last_lines(tmp_path / "none.log", 5) == []


def test_the_first_line_of_a_log_without_a_start_is_not_lost(tmp_path: Path) -> None:
    (tmp_path / "supervisor.log").write_text("another supervisor runs\n")
    assert last_lines(tmp_path / "supervisor.log", 5) == ["another supervisor runs"]


def test_the_reason_is_not_buried_under_a_stack_trace(tmp_path: Path) -> None:
    (tmp_path / "kafka.log").write_text("ERROR No cluster.id\n" + "\tat kafka.Kafka.main(Kafka.scala:75)\n" * 30)
    assert last_lines(tmp_path / "kafka.log", 5) == ["ERROR No cluster.id"]
