"""What workers say about their pools: written when it changes, gone when they leave, ignored when they died."""

import os
import subprocess
import sys
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
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    board = Board(tmp_path)
    board.show("embedder", lambda: [STATE])
    board.write()
    dead = tmp_path / "pools" / f"{gone.pid}-abc.json"
    dead.write_text(WorkerPools(pid=gone.pid, pools=[]).model_dump_json())
    (tmp_path / "pools" / "1-odd.json").write_text("{half")
    [worker] = read(tmp_path)
    assert worker.pid == os.getpid()
    assert worker.pools[0].instances == [STATE]
    assert not dead.exists()


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
