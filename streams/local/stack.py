"""Start, stop and look at the local stack of some settings."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from streams.local import state
from streams.local.errors import StackError
from streams.local.jars import Report, fetch
from streams.local.listeners import require_free, taken
from streams.local.logs import last_lines
from streams.local.plan import jars_folder, parts_of
from streams.local.state import StackState
from streams.settings import Settings

Watch = Callable[[StackState], None]
STOP_S = 60.0


@dataclass(slots=True)
class Starting:
    """A supervisor that stops its stack again unless `keep` is called before this process ends."""

    process: subprocess.Popen[bytes]
    home: Path

    def keep(self) -> None:
        """Let the stack live on by itself."""
        assert self.process.stdin is not None
        self.process.stdin.write(b"keep")
        self.release()

    def release(self) -> None:
        """Let go: a stack that is not kept stops."""
        assert self.process.stdin is not None
        self.process.stdin.close()


def prepare(settings: Settings, report: Report) -> None:
    """Make the home folder and download what the parts need. Raises StackError."""
    try:
        settings.home.mkdir(parents=True, exist_ok=True)
        if not settings.kafka:
            fetch(jars_folder(settings), report)
    except OSError as error:
        remedy = "free some space, or set HEADWATER_HOME to a folder that can be written"
        raise StackError(f"cannot write {str(settings.home)!r}: {error.strerror or error}; {remedy}") from error


def start(settings: Settings, *, workers: bool = True) -> Starting:
    """Start a supervisor; `wait_ready` tells how it goes. Raises StackError where a port is taken."""
    for part in parts_of(settings, workers=workers):
        require_free(part)
    home = settings.home.resolve()
    (home / "stack.json").unlink(missing_ok=True)
    flags = [] if workers else ["--no-workers"]
    with (home / "supervisor.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "streams.local.supervisor", *flags],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            env=os.environ | settings.environment,
            start_new_session=True,
        )
    return Starting(process, home)


def wait_ready(starting: Starting, watch: Watch = lambda _: None) -> StackState:
    """Follow the start, calling `watch` with each state, until all parts are ready. Raises StackError."""
    while True:
        ended = starting.process.poll() is not None
        if (seen := state.read(starting.home)) is not None and seen.pid == starting.process.pid:
            watch(seen)
            if seen.phase == "ready":
                return seen
            if ended:
                failed = [part for part in seen.parts.values() if part.phase == "failed"]
                raise StackError(
                    "; ".join(f"{part.name}: {part.detail}" for part in failed) or "stopped while starting"
                )
        if ended:
            said = last_lines(starting.home / "supervisor.log", 8)
            raise StackError("the supervisor ended: " + "\n".join(said))
        time.sleep(0.05)


def stop(settings: Settings) -> StackState | None:
    """Stop a running stack and wait until its ports are free; what was stopped, None where nothing ran."""
    home = settings.home.resolve()
    if not state.running(home):
        return None
    seen = state.read(home)
    if seen is None:
        raise StackError(f"a supervisor runs in {str(home)!r} but left no state; look at {home / 'supervisor.log'}")
    os.kill(seen.pid, signal.SIGTERM)
    if not state.wait_released(home, STOP_S):
        os.kill(seen.pid, signal.SIGKILL)  # the parts die with it
        state.wait_released(home, STOP_S)
    ports = [part.port for part in seen.parts.values() if part.port]
    deadline = time.monotonic() + 10
    while any(taken(port) for port in ports) and time.monotonic() < deadline:
        time.sleep(0.05)
    return seen
