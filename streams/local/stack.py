"""Start, stop and look at the local stack of some settings."""

import os
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from streams.local import state
from streams.local.errors import AlreadyRunning, StackError
from streams.local.jars import Report, fetch
from streams.local.listeners import require_free, taken
from streams.local.logs import last_lines
from streams.local.parts import own
from streams.local.plan import jars_folder, parts_of
from streams.local.room import shortage
from streams.local.state import StackState
from streams.settings import Settings

Process = subprocess.Popen[bytes]
Watch = Callable[[StackState], None]
FIRST_STATE_S = 2.0
"""A supervisor writes its first state at once; one that has none for so long has lost it."""
STOP_S = 60.0
"""For all parts together; each has a limit of its own."""


@dataclass(slots=True)
class Starting:
    """A supervisor that stops its stack again unless `keep` is called before this process ends."""

    process: Process
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
    if not state.running(settings.home.resolve()):
        for part in parts_of(settings, workers=False):  # nobody waits for a download to learn that a port is taken
            require_free(part)
    try:
        settings.home.mkdir(parents=True, exist_ok=True)
        if not settings.kafka:
            fetch(jars_folder(settings), report)
    except OSError as error:
        raise unwritable(settings.home, error) from error


def start(settings: Settings, *, workers: bool = True) -> Starting:
    """Start a supervisor; `wait_ready` tells how it goes.

    Raises StackError where a port is taken or a disk is full, AlreadyRunning where another starter was quicker.
    """
    home = settings.home.resolve()
    if state.running(home):  # whoever calls may have looked before a long download
        raise AlreadyRunning(f"another supervisor runs in {str(home)!r}")
    for part in parts_of(settings, workers=workers):
        require_free(part)
    try:
        if full := shortage(home):
            raise StackError(f"{full}, or name another folder with --home or HEADWATER_HOME")
        return Starting(_supervisor(settings, home, workers), home)
    except OSError as error:
        raise unwritable(settings.home, error) from error


def _supervisor(settings: Settings, home: Path, workers: bool) -> Process:
    flags = [] if workers else ["--no-workers"]
    with (home / "supervisor.log").open("wb") as log:
        return subprocess.Popen(
            own("streams.local.supervisor", *flags),
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            env=os.environ | settings.environment,
            bufsize=0,
            start_new_session=True,
        )


def unwritable(home: Path, error: OSError) -> StackError:
    """The error for a disk that is full or a folder that is read-only."""
    remedy = "free some space, or name another folder with --home or HEADWATER_HOME"
    return StackError(f"cannot write {str(error.filename or home)!r}: {error.strerror or error}; {remedy}")


def wait_ready(home: Path, watch: Watch = lambda _: None, *, process: Process | None = None) -> StackState:
    """Follow a start, calling `watch` with each state, until all parts are ready. Raises StackError where it fails.

    `process` is the supervisor where this process started it, else one that runs in `home` is followed.
    Raises AlreadyRunning where another starter was quicker than `process`.
    """
    patience = time.monotonic() + FIRST_STATE_S
    while True:
        ended = process.poll() is not None if process else not state.running(home)
        seen = state.read(home)
        if seen is not None and (process is None or seen.pid == process.pid):
            watch(seen)
            if seen.phase == "ready":
                return seen
            if ended or seen.phase == "stopping":
                raise StackError(_failures(seen))
        elif ended:
            if process is not None and state.running(home):
                raise AlreadyRunning(f"another supervisor runs in {str(home)!r}")
            said = "\n".join(last_lines(home / "supervisor.log", 8))
            raise StackError(f"the supervisor ended before it began:\n{said}")
        elif process is None and seen is None and time.monotonic() > patience:
            raise stateless(home)
        time.sleep(0.05)


def stateless(home: Path) -> StackError:
    """The error for a stack that runs while nobody can read how."""
    pid = state.holder(home)
    where = str(home / "stack.json")
    return StackError(f"it runs (supervisor pid {pid}), but {where!r} is unreadable: `headwater down`, `headwater up`")


def _failures(seen: StackState) -> str:
    failed = [f"{part.name}: {part.detail}" for part in seen.parts.values() if part.phase == "failed"]
    return "\n".join(failed) or "it was stopped while it started"


def stop(settings: Settings) -> StackState | None:
    """Stop a running stack and wait until its ports are free; what was stopped, None where nothing ran."""
    home = settings.home.resolve()
    if not state.running(home):
        return None
    seen = state.read(home)
    pid = seen.pid if seen else state.holder(home)
    if pid is None:
        raise StackError(f"a supervisor starts in {str(home)!r}: try again in a moment")
    os.kill(pid, signal.SIGTERM)
    if not state.wait_released(home, STOP_S):
        os.kill(pid, signal.SIGKILL)  # the parts die with it
        state.wait_released(home, STOP_S)
    seen = seen or state.read(home)  # what it wrote when it stopped, where the state before was unreadable
    if seen is None:
        raise StackError(f"stopped, but its state cannot be read: {str(home / 'stack.json')!r}")
    ports = [part.port for part in seen.parts.values() if part.port]
    deadline = time.monotonic() + 10
    while any(taken(port) for port in ports) and time.monotonic() < deadline:
        time.sleep(0.05)
    return seen
