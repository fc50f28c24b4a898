"""Start, stop and die: a stack of one part, the broker and the index being those of the run's own stack."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from streams.local import stack as local_stack
from streams.local import state
from streams.local.errors import AlreadyRunning, StackError
from streams.local.listeners import free_ports, taken
from streams.local.stack import Starting
from streams.settings import LocalStack, Settings

pytestmark = pytest.mark.stack


@pytest.fixture
def small(stack: Settings, tmp_path: Path) -> Iterator[Settings]:
    """A stack that consists of the language model; stopped afterwards, whatever became of it."""
    settings = Settings(
        home=tmp_path / "home",
        kafka=stack.kafka_url,
        index=stack.index_url,
        local=LocalStack(llm_port=free_ports(1)[0]),
    )
    local_stack.prepare(settings, lambda _done, _total: None)
    yield settings
    local_stack.stop(settings)


def started(settings: Settings) -> Starting:
    starting = local_stack.start(settings, workers=False)
    local_stack.wait_ready(starting.home, process=starting.process)
    return starting


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_taken_port_is_said_before_anything_is_downloaded(tmp_path: Path) -> None:
    jars = tmp_path / "jars"
    with socket.create_server(("127.0.0.1", 0)) as other:
        settings = Settings(home=tmp_path / "home", local=LocalStack(kafka_port=other.getsockname()[1], jars=jars))
        with pytest.raises(StackError, match="is taken"):
            local_stack.prepare(settings, lambda _done, _total: None)
    assert not jars.exists()


def test_a_kept_stack_outlives_its_starter_and_stops_when_told(small: Settings) -> None:
    starting = started(small)
    starting.keep()
    assert state.running(small.home)
    stopped = local_stack.stop(small)
    assert stopped is not None
    assert stopped.parts["llm"].phase == "ready"
    assert not taken(small.local.llm_port)
    assert starting.process.wait(10) == 0
    assert local_stack.stop(small) is None


def test_a_starter_that_dies_leaves_nothing(small: Settings) -> None:
    starting = started(small)
    starting.release()  # what the kernel does with the pipe of a process that was killed
    assert starting.process.wait(30) == 0
    assert not taken(small.local.llm_port)


def test_a_killed_supervisor_takes_its_parts_with_it(small: Settings) -> None:
    starting = started(small)
    starting.keep()
    seen = state.read(small.home)
    assert seen is not None
    pid = seen.parts["llm"].pid
    assert pid is not None
    starting.process.kill()
    starting.process.wait()
    until(lambda: not psutil.pid_exists(pid))
    assert not state.running(small.home)
    assert not taken(small.local.llm_port)


def test_a_killed_part_is_back_soon(small: Settings) -> None:
    starting = started(small)
    before = state.read(small.home)
    assert before is not None
    pid = before.parts["llm"].pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)

    def back() -> bool:
        now = state.read(small.home)
        return now is not None and now.parts["llm"].phase == "ready" and now.parts["llm"].restarts == 1

    until(back)
    starting.release()
    starting.process.wait()


def test_a_part_that_cannot_start_stops_the_rest_and_says_why(small: Settings, tmp_path: Path) -> None:
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"GGUF and then nothing of the kind")
    settings = small.model_copy(update={"local": small.local.model_copy(update={"llm_model": broken})})
    starting = local_stack.start(settings, workers=False)
    with pytest.raises(StackError, match=r"(?s)llm: exited with .*llm\.log"):
        local_stack.wait_ready(starting.home, process=starting.process)
    assert starting.process.wait(10) == 1
    starting.release()


def test_a_model_that_is_not_there_is_named(small: Settings) -> None:
    nowhere = Path("/nowhere/model.gguf")
    settings = small.model_copy(update={"local": small.local.model_copy(update={"llm_model": nowhere})})
    starting = local_stack.start(settings, workers=False)
    with pytest.raises(StackError, match=r"no file '/nowhere/model\.gguf'"):
        local_stack.wait_ready(starting.home, process=starting.process)
    starting.release()
    starting.process.wait()


def headwater(settings: Settings, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from streams.cli import main; main()", *arguments]
    environment = os.environ | settings.environment | {"NO_COLOR": "1"}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)


def test_the_commands_start_show_and_stop_it(small: Settings) -> None:
    up = headwater(small, "up", "--no-workers")
    assert up.returncode == 0, up.stderr
    assert "llm            ready" in up.stdout
    again = headwater(small, "up", "--no-workers")
    assert again.returncode == 0
    assert again.stdout.startswith("already running")
    assert "started with another" not in again.stdout
    changed = headwater(small.model_copy(update={"embedder": "tei+http://127.0.0.1:1"}), "up", "--no-workers")
    assert "started with another embedder: `headwater down` and `headwater up`" in changed.stdout
    status = headwater(small, "status")
    assert status.returncode == 0
    assert str(small.local.llm_port) in status.stdout
    fused = headwater(small.model_copy(update={"ingest_segments": "chunk+embed+upsert"}), "status", "--json")
    said = json.loads(fused.stdout)
    assert "chunk" in said["lag"]  # those of the running stack
    assert said["changed"] == ["ingest_segments"]
    down = headwater(small, "down")
    assert down.stdout.startswith("stopped llm;")
    gone = headwater(small, "status", "--json")
    assert gone.returncode == 3
    assert gone.stdout.strip() == '{"running": false, "pools": []}'
    assert headwater(small, "down").stdout == "nothing is running\n"


def test_a_stack_whose_state_file_is_damaged_is_named_and_can_be_stopped(small: Settings) -> None:
    starting = started(small)
    starting.keep()
    (small.home / "stack.json").write_text("{")
    status = headwater(small, "status")
    assert status.returncode == 5
    assert "unreadable: `headwater down`" in status.stderr
    assert "unreadable" in headwater(small, "up", "--no-workers").stderr
    assert headwater(small, "down").returncode == 0
    assert starting.process.wait(10) == 0
    assert not taken(small.local.llm_port)


def test_of_two_starters_at_once_both_end_with_a_running_stack(small: Settings) -> None:
    command = [sys.executable, "-c", "from streams.cli import main; main()", "up", "--no-workers"]
    environment = os.environ | small.environment
    pipe = subprocess.PIPE
    both = [subprocess.Popen(command, env=environment, stdout=pipe, stderr=pipe, text=True) for _ in range(2)]
    for process in both:
        _, complaint = process.communicate(timeout=60)
        assert process.returncode == 0, complaint
    assert state.running(small.home)


def test_a_starter_that_comes_late_leaves_the_running_stack_as_it_is(small: Settings) -> None:
    starting = local_stack.start(small, workers=False)
    until(lambda: state.read(small.home) is not None)
    with pytest.raises(AlreadyRunning):
        local_stack.start(small, workers=False)
    assert local_stack.wait_ready(starting.home).pid == starting.process.pid
    starting.release()
    starting.process.wait(30)


def test_a_folder_that_cannot_be_made_is_named(small: Settings, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    up = headwater(small.model_copy(update={"home": tmp_path / "file" / "home"}), "up", "--no-workers")
    assert up.returncode == 1
    assert f"cannot write '{tmp_path}/file" in up.stderr
    assert "HEADWATER_HOME" in up.stderr
