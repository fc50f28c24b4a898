"""What workers say about their pools: a small file each, under `home`, that `headwater status` reads."""

import contextlib
import fcntl
import os
import secrets
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ValidationError

State = Literal["closed", "open", "half-open", "draining", "excluded"]
"""closed: it takes calls; open: it failed, and gets none; half-open: the next call decides; draining: it was removed
and finishes; excluded: it is slow, ill or overloaded, and gets none for a while."""


class InstanceState(BaseModel):
    """One instance as one worker sees it."""

    url: str
    tier: int
    weight: float
    state: State
    why: str = ""
    in_flight: int = 0
    ewma_ms: float | None = None
    """Time of a call, smoothed over seconds; of a generator: to the first piece of its answer."""
    p95_ms: float | None = None
    """Of the last 30 s; none where there were too few calls."""
    errors: int = 0
    last_error: str = ""
    share: float = 0.0
    """Of the pool's calls of the last 30 s."""


class PoolState(BaseModel):
    """One port's pool in one worker."""

    port: str
    instances: list[InstanceState]


class WorkerPools(BaseModel):
    """The pools of one worker, as written to its file."""

    host: str
    """Beside the pid, for containers that share a volume count their processes from one."""
    pid: int
    pools: list[PoolState]


class Board:
    """This process's file: written when something changed, gone when the last pool has left.

    The process holds a lock on it, which the kernel drops with its holder: what is not locked was left by the dead.
    """

    def __init__(self, home: Path) -> None:
        self._path = _folder(home) / f"{secrets.token_hex(8)}.json"
        self._lock: int | None = None
        self._pools: dict[str, Callable[[], list[InstanceState]]] = {}
        self._written = ""

    def show(self, port: str, states: Callable[[], list[InstanceState]]) -> None:
        """From now on `states` tells how the pool of this port is."""
        self._pools[port] = states

    def withdraw(self, port: str) -> None:
        self._pools.pop(port, None)
        if not self._pools:
            self._path.unlink(missing_ok=True)
            self._written = ""
            self._hold(None)

    def write(self) -> None:
        """Replace the file in one step, if there is news. A disk that takes none must not stop a call: best effort."""
        pools = [PoolState(port=port, instances=states()) for port, states in sorted(self._pools.items())]
        text = WorkerPools(host=socket.gethostname(), pid=os.getpid(), pools=pools).model_dump_json()
        if text == self._written:
            return
        with contextlib.suppress(OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._replace(text)
            self._written = text

    def _replace(self, text: str) -> None:
        scratch = self._path.with_suffix(".new")
        with scratch.open("w") as file:
            file.write(text)
            file.flush()
            # The lock is on the new file before anybody can find it, and leaves the old one when nobody can any more.
            fcntl.flock(file, fcntl.LOCK_EX)
            scratch.replace(self._path)
            self._hold(os.dup(file.fileno()))

    def _hold(self, lock: int | None) -> None:
        before, self._lock = self._lock, lock
        if before is not None:
            os.close(before)


def read(home: Path) -> list[WorkerPools]:
    """What the living workers of this home say; files of dead ones are removed."""
    return sorted(_living(_folder(home)), key=lambda worker: (worker.host, worker.pid))


def _living(folder: Path) -> Iterator[WorkerPools]:
    for scratch in folder.glob("*.new"):
        with contextlib.suppress(OSError):
            _text_of_living(scratch)  # removes what a worker left that was killed while it wrote
    for path in folder.glob("*.json"):
        with contextlib.suppress(OSError, ValidationError):  # gone, or written by another version
            if text := _text_of_living(path):
                yield WorkerPools.model_validate_json(text)


def _text_of_living(path: Path) -> str:
    """What the holder of the file's lock wrote; empty, and the file removed, where nobody holds it."""
    while True:
        with path.open() as file:
            try:
                # Shared, or two readers would look alive to each other.
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return file.read()
            if os.path.samestat(os.fstat(file.fileno()), path.stat()):
                path.unlink(missing_ok=True)
                return ""
        # Its holder replaced it between our opening it and looking: the new one is held.


def _folder(home: Path) -> Path:
    return home / "pools"
