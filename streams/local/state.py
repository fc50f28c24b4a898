"""What the supervisor says about itself: a lock that it holds while it lives, and a state file that others read."""

import fcntl
import hashlib
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ValidationError

from streams.local.errors import AlreadyRunning
from streams.settings import Settings

Phase = Literal["starting", "ready", "stopping", "failed"]
UNMARKED = {"home", "ca_file", "tenant", "kafka"}
"""Paths that may be relative, what only commands read, and what is compared by itself."""
READING = {"topic_prefix", "ingest_segments", "query_segments"}
"""What names the consumer groups of its workers."""
PartPhase = Literal["waiting", "starting", "ready", "restarting", "failed", "stopped"]


class PartState(BaseModel):
    """A part as the supervisor sees it."""

    name: str
    phase: PartPhase = "waiting"
    pid: int | None = None
    port: int | None = None
    since: float = 0.0
    """When it entered this phase, seconds since the epoch."""
    start_s: float | None = None
    """How long its last start took."""
    restarts: int = 0
    detail: str = ""
    log: Path | None = None


class StackState(BaseModel):
    """The whole stack, as written to the state file."""

    phase: Phase
    pid: int
    started: float
    kafka: str
    """Bootstrap servers of the broker that the stack uses."""
    workers: bool
    parts: dict[str, PartState]
    settings: dict[str, str] = {}
    """The `marks` of those that it was started with; none: an older version started it."""
    reading: dict[str, str] = {}
    """Those of `READING` as they are; none: an older version started it."""
    detail: str = ""

    def write(self, home: Path) -> None:
        """Replace the file in one step: a reader sees the old or the new state."""
        scratch = home / ".stack.json"
        scratch.write_text(self.model_dump_json(indent=2) + "\n")
        scratch.replace(home / "stack.json")


def marks(settings: Settings) -> dict[str, str]:
    """A short digest of each setting, to tell which have changed; of secrets, whether there is one."""
    values = settings.model_dump(mode="json", exclude=UNMARKED)
    return {name: hashlib.sha256(json.dumps(value).encode()).hexdigest()[:8] for name, value in values.items()}


def changed(seen: StackState, settings: Settings) -> list[str]:
    """The settings that are not those that the stack was started with."""
    return [name for name, mark in marks(settings).items() if seen.settings.get(name, mark) != mark]


def read(home: Path) -> StackState | None:
    """The last state written, whether or not its supervisor still lives."""
    try:
        return StackState.model_validate_json((home / "stack.json").read_bytes())
    except (FileNotFoundError, NotADirectoryError, ValidationError):
        return None


def running(home: Path) -> bool:
    """Whether a supervisor holds the lock."""
    try:
        with _locked(home, create=False):
            return False
    except (FileNotFoundError, NotADirectoryError):
        return False
    except BlockingIOError:
        return True


def holder(home: Path) -> int | None:
    """The process that holds the lock; none where it has not said so yet. Whether it still does, `running` knows."""
    try:
        said = (home / "stack.lock").read_text()
    except FileNotFoundError:
        return None
    return int(said) if said.isdecimal() else None


@contextmanager
def exclusive(home: Path) -> Iterator[None]:
    """Be the one supervisor of `home`; raises AlreadyRunning where another is."""
    try:
        with _locked(home, create=True) as handle:
            os.ftruncate(handle, 0)
            os.write(handle, str(os.getpid()).encode())
            yield
    except BlockingIOError as error:
        raise AlreadyRunning(f"another supervisor runs in {str(home)!r}") from error


@contextmanager
def _locked(home: Path, *, create: bool) -> Iterator[int]:
    # The kernel drops the lock with its holder, however that dies; children must not inherit it, hence close-on-exec.
    # To look is possible where nothing can be written.
    access = os.O_RDWR | os.O_CREAT if create else os.O_RDONLY
    handle = os.open(home / "stack.lock", access | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield handle
    finally:
        os.close(handle)


def wait_released(home: Path, timeout_s: float) -> bool:
    """Whether the supervisor was gone within the time."""
    deadline = time.monotonic() + timeout_s
    while running(home):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True
