"""`headwater status` shows the pools of this home's workers, with and without a local stack."""

import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from streams.local import state
from streams.local.state import StackState
from streams.pools.states import Board, InstanceState
from streams.settings import Settings
from tests.streams.cli.conftest import Run

FIRST = InstanceState(
    url="tei+http://[fd00::7]:80", tier=0, weight=2, state="closed", share=0.75, ewma_ms=12.3, p95_ms=40
)
SECOND = InstanceState(url="tei+http://b:80", tier=1, weight=1, state="open", why="it refused", errors=3, share=0.25)


@pytest.fixture
def pools(run: Run) -> Iterator[None]:
    board = Board(Path(".headwater").resolve())
    board.show("embedder", lambda: [FIRST, SECOND])
    board.write()
    yield
    board.withdraw("embedder")


@pytest.mark.usefixtures("pools")
def test_without_a_stack_the_pools_are_shown_and_the_exit_code_says_that_no_stack_runs(run: Run) -> None:
    result = run("status")
    assert result.exit_code == 3
    for word in ("embedder", "tei+http://[fd00::7]:80", "75%", "12", "40", "open"):
        assert word in result.stdout
    assert f"embedder {socket.gethostname()}:{os.getpid()} tei+http://b:80: it refused\n" in result.stdout
    assert "headwater up" in result.stderr


@pytest.mark.usefixtures("pools")
def test_as_json_each_instance_has_all_that_is_known(run: Run) -> None:
    result = run("status", "--json")
    assert result.exit_code == 3
    said = json.loads(result.stdout)
    assert said["running"] is False
    [worker] = said["pools"]
    assert worker["pools"] == [{"port": "embedder", "instances": [FIRST.model_dump(), SECOND.model_dump()]}]


def test_where_nothing_runs_there_is_no_table(run: Run) -> None:
    result = run("status")
    assert result.exit_code == 3
    assert result.stdout == ""


def test_where_the_broker_is_away_it_is_not_known_what_waits(run: Run) -> None:
    home = Path(".headwater").resolve()
    begun = state.marks(Settings(embedder="tei+http://127.0.0.1:1"))
    seen = StackState(
        phase="ready", pid=os.getpid(), started=0, kafka="127.0.0.1:1", workers=True, parts={}, settings=begun
    )
    with state.exclusive(home):
        seen.write(home)
        result = run("status")
    assert result.exit_code == 0
    assert "records that wait: not known, the broker does not answer\n" in result.stdout
    assert "started with another embedder: `headwater down` and `headwater up` bring in yours\n" in result.stdout
