"""The command line as a user calls it, in this process or in one of its own."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from streams.cli import app
from streams.cli.sources import flags
from streams.settings import Settings

Run = Callable[..., Result]
Shell = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Run]:
    """`headwater ARGUMENTS...` in a folder with a home of its own, without settings in the environment."""
    for name in [name for name in os.environ if name.startswith("HEADWATER_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".headwater").mkdir()
    token = flags.set({})
    yield lambda *arguments, stdin="": CliRunner().invoke(app, arguments, input=stdin)
    flags.reset(token)


@pytest.fixture
def deployed(run: Run, deployment: Settings, monkeypatch: pytest.MonkeyPatch) -> Run:
    """`headwater` on the topics where the responder is at work."""
    for name, value in deployment.environment.items():
        monkeypatch.setenv(name, value)
    return run


@pytest.fixture
def shell(run: Run, tmp_path: Path) -> Shell:
    """`headwater` as a process, its standard streams pipes."""
    checkout = Path(__file__).parent.parent.parent.parent

    def start(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "streams", *arguments],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(checkout), **environment},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return start
