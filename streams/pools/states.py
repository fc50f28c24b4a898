"""What workers say about their pools: a small file each, under `home`, that `headwater status` reads."""

import contextlib
import os
import secrets
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

    pid: int
    pools: list[PoolState]


class Board:
    """This process's file: written when something changed, gone when the last pool has left."""

    def __init__(self, home: Path) -> None:
        self._path = _folder(home) / f"{os.getpid()}-{secrets.token_hex(3)}.json"
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

    def write(self) -> None:
        """Replace the file in one step, if there is news. A disk that takes none must not stop a call: best effort."""
        pools = [PoolState(port=port, instances=states()) for port, states in sorted(self._pools.items())]
        text = WorkerPools(pid=os.getpid(), pools=pools).model_dump_json()
        if text == self._written:
            return
        with contextlib.suppress(OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            scratch = self._path.with_suffix(".new")
            scratch.write_text(text)
            scratch.replace(self._path)
            self._written = text


def read(home: Path) -> list[WorkerPools]:
    """What the living workers of this home say; files of dead ones are removed."""
    return sorted(_living(_folder(home)), key=lambda worker: worker.pid)


def _living(folder: Path) -> Iterator[WorkerPools]:
    for path in folder.glob("*-*.json"):
        try:
            worker = WorkerPools.model_validate_json(path.read_bytes())
        except (OSError, ValidationError):
            continue
        if _lives(worker.pid):
            yield worker
        else:
            path.unlink(missing_ok=True)


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _folder(home: Path) -> Path:
    return home / "pools"
