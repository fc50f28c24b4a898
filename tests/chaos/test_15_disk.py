"""15. A disk that is full, or takes no writes: it is said, nothing is corrupted, and afterwards everything goes on."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from pydantic import TypeAdapter

from streams.local.listeners import free_ports
from streams.settings import Settings
from tests.chaos.full_disk import OUTCOME
from tests.chaos.report import Report
from tests.chaos.scenario import Outcome
from tests.chaos.small_disk import BALLAST, missing, with_disk

QUICK_ENGINES = ("faust",)


@pytest.fixture(autouse=True)
def small_disk() -> None:
    """Tells why there can be none, where there can be none."""
    if reason := missing():
        pytest.skip(reason)


def run_on_disk(folder: Path, *command: str, settings: Settings | None = None) -> subprocess.CompletedProcess[str]:
    """A command with an empty disk at `folder`."""
    folder.mkdir()
    environment = os.environ | (settings.environment if settings else {})
    line = with_disk(folder, *command)
    return subprocess.run(line, capture_output=True, text=True, env=environment, timeout=500, check=False)


@pytest.mark.stack
def test_nothing_acknowledged_is_lost_when_the_disk_of_a_server_is_full(
    stack: Settings, seed: int, engine: str, tmp_path: Path, report: Report
) -> None:
    disk = tmp_path / "disk"
    program = (sys.executable, "-m", "tests.chaos.full_disk", str(seed), engine, str(disk), str(tmp_path))
    ended = run_on_disk(disk, *program, settings=stack)
    assert ended.returncode == 0, ended.stderr[-3000:]
    report.judge(TypeAdapter(Outcome).validate_json((tmp_path / OUTCOME).read_bytes()))


def test_stores_of_files_refuse_what_does_not_fit_keep_what_they_have_and_go_on(tmp_path: Path) -> None:
    ended = run_on_disk(tmp_path / "disk", sys.executable, "-m", "tests.chaos.full_stores", str(tmp_path / "disk"))
    assert ended.returncode == 0, ended.stderr[-3000:]


FULL = f"dd if=/dev/zero of={BALLAST} bs=65536 2>/dev/null;"
READ_ONLY = "touch stack.lock; mount -o remount,ro .;"


@pytest.mark.stack
@pytest.mark.parametrize(("state", "said"), [(FULL, "is full"), (READ_ONLY, "is read-only")])
def test_the_local_stack_does_not_start_where_it_cannot_write_and_says_what_to_do(
    stack: Settings, tmp_path: Path, state: str, said: str
) -> None:
    ended = headwater(tmp_path / "disk", state, "up", settings=own_ports(stack))
    assert ended.returncode == 1, ended
    assert said in ended.stderr
    assert "--home" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.stack
@pytest.mark.parametrize("state", [FULL, READ_ONLY])
@pytest.mark.parametrize("command", [("documents", "list"), ("status",)])
def test_commands_that_write_nothing_need_no_disk(
    stack: Settings, tmp_path: Path, state: str, command: Sequence[str]
) -> None:
    ended = headwater(tmp_path / "disk", state, *command, settings=stack)
    assert ended.returncode == (3 if command == ("status",) else 0), ended  # no stack runs in that home
    assert "Traceback" not in ended.stderr


@pytest.mark.stack
@pytest.mark.chaos
@pytest.mark.timeout(600)
def test_the_local_stack_says_that_its_disk_is_full_and_goes_on_by_itself_when_there_is_room(
    stack: Settings, tmp_path: Path
) -> None:
    disk = tmp_path / "disk"
    own = own_ports(stack).model_copy(update={"home": disk})
    ended = run_on_disk(disk, sys.executable, "-m", "tests.chaos.full_stack", str(disk), settings=own)
    assert ended.returncode == 0, ended.stderr[-3000:]


def own_ports(stack: Settings) -> Settings:
    """For another stack beside it."""
    names = ("kafka_port", "kafka_controller_port", "milvus_port", "llm_port")
    ports = dict(zip(names, free_ports(4), strict=True))
    return stack.model_copy(update={"local": stack.local.model_copy(update=ports)})


def headwater(disk: Path, state: str, *command: str, settings: Settings) -> subprocess.CompletedProcess[str]:
    """A command whose home is a disk in that state."""
    script = f'cd "$0"; {state} cd "$1"; shift; exec "$@"'
    own = settings.model_copy(update={"home": disk})
    line = (sys.executable, "-m", "streams", *command)
    return run_on_disk(disk, "sh", "-c", script, str(disk), str(Path.cwd()), *line, settings=own)
