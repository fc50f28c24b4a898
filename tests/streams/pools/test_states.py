"""What workers say about their pools: written when it changes, gone when they leave, ignored when they died."""

import os
import subprocess
import sys
import threading
from pathlib import Path

from streams.pools.states import Board, InstanceState, WorkerPools, read
from tests.streams.pools.instances import Scene

STATE = InstanceState(url="x://one", tier=0, weight=1, state="closed")


def files(home: Path) -> list[Path]:
    return list((home / "pools").iterdir())


def test_the_file_is_written_when_something_changed_and_gone_with_the_last_pool(tmp_path: Path) -> None:
    board, states = Board(tmp_path), [STATE]
    board.show("embedder", lambda: states)
    board.show("reranker", list)
    board.write()
    [path] = files(tmp_path)
    first = path.stat().st_ino
    board.write()
    assert path.stat().st_ino == first
    states[0] = STATE.model_copy(update={"in_flight": 1})
    board.write()
    assert path.stat().st_ino != first
    board.withdraw("reranker")
    board.withdraw("embedder")
    assert files(tmp_path) == []


def test_readers_see_the_living_and_clean_up_behind_the_dead(tmp_path: Path) -> None:
    board = Board(tmp_path)
    board.show("embedder", lambda: [STATE])
    board.write()
    [living] = files(tmp_path)
    # A worker of another container that shares the volume, and had the same pid as one that lives here.
    (tmp_path / "pools" / "dead.json").write_text(WorkerPools(host="x", pid=os.getpid(), pools=[]).model_dump_json())
    (tmp_path / "pools" / "odd.json").write_text("{half")
    (tmp_path / "pools" / "killed.new").write_text("{written by half")
    [worker] = read(tmp_path)
    assert worker.pid == os.getpid()
    assert worker.pools[0].instances == [STATE]
    assert files(tmp_path) == [living]


def test_what_a_reader_finds_is_held_however_often_it_is_replaced(tmp_path: Path) -> None:
    board, states = Board(tmp_path), [STATE]
    board.show("embedder", lambda: states)
    stop = threading.Event()

    def write() -> None:
        while not stop.is_set():
            states[0] = STATE.model_copy(update={"errors": states[0].errors + 1})
            board.write()

    board.write()
    writing = threading.Thread(target=write)
    writing.start()
    try:
        assert all(len(read(tmp_path)) == 1 for _ in range(500))
    finally:
        stop.set()
        writing.join()
    board.withdraw("embedder")
    assert files(tmp_path) == []


def test_a_worker_that_was_killed_is_not_shown_though_its_children_live(tmp_path: Path) -> None:
    script = (
        "import subprocess, sys, pathlib\n"
        "from streams.pools.states import Board\n"
        f"board = Board(pathlib.Path({str(tmp_path)!r}))\n"
        "board.show('embedder', list)\n"
        "board.write()\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import sys; sys.stdin.read()'], stdin=sys.stdin)\n"
        "print(child.pid, flush=True)\n"
        "child.wait()\n"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as worker:
        assert worker.stdout
        assert worker.stdout.readline()
        assert [shown.pid for shown in read(tmp_path)] == [worker.pid]
        worker.kill()
        worker.wait()
        assert read(tmp_path) == []  # and closing the pipe ends the child
    assert files(tmp_path) == []


def test_without_workers_there_is_nothing_to_say(tmp_path: Path) -> None:
    assert read(tmp_path / "nowhere") == []


async def test_an_open_pool_says_how_it_is_within_a_second(tmp_path: Path) -> None:
    scene = Scene(tmp_path, "x://one", "x://two")
    async with scene:
        await scene.embed(10)
        await scene.clock.pass_time(1)
        [worker] = read(tmp_path)
        [pool] = worker.pools
        assert pool.port == "embedder"
        assert [instance.url for instance in pool.instances] == ["x://one", "x://two"]
        assert sum(instance.share for instance in pool.instances) == 1
        assert all(instance.ewma_ms is not None and instance.errors == 0 for instance in pool.instances)
    assert files(tmp_path) == []
