"""A log file per part that never outgrows its bound."""

import asyncio
import contextlib
import os
import time
from pathlib import Path

MAX_BYTES = 4 * 1024 * 1024
"""Per file; one older file is kept beside it."""
LAST_WORDS_S = 1.0
STARTED = b"--- started "


class PartLog:
    """Copies what a process prints to a file, and notices the line that says it is ready."""

    def __init__(self, path: Path, ready_line: bytes = b"", max_bytes: int = MAX_BYTES) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self.seen = asyncio.Event()
        """Set once the present process has printed `ready_line`."""
        self._ready_line = ready_line
        self._max_bytes = max_bytes
        self._copy: asyncio.Task[None] | None = None

    async def follow(self, pipe: int, pid: int) -> None:
        """Copy everything that comes through `pipe`, until it closes; the present process is a new one."""
        self.close()
        self.seen.clear()
        self._append(STARTED + f"pid {pid} at {time.strftime('%Y-%m-%dT%H:%M:%S%z')}\n".encode())
        reader = asyncio.StreamReader()
        file = os.fdopen(pipe, "rb", buffering=0)
        await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), file)
        self._copy = asyncio.create_task(self._follow(reader))

    async def ended(self) -> None:
        """Wait until all that the process printed is copied, or a moment where another one holds its output open."""
        if self._copy is not None:
            await asyncio.wait((self._copy,), timeout=LAST_WORDS_S)

    def quote(self, count: int = 8) -> str:
        """The last lines of the present process and where the rest is, for an error message."""
        lines = last_lines(self.path, count)
        return "".join(f"\n    {line}" for line in lines) + f"\n  log: {self.path}"

    def close(self) -> None:
        if self._copy is not None:
            self._copy.cancel()
            self._copy = None

    async def _follow(self, reader: asyncio.StreamReader) -> None:
        tail = b""
        while data := await reader.read(65_536):
            self._append(data)
            tail = (tail + data)[-len(data) - len(self._ready_line) :]
            if self._ready_line and self._ready_line in tail:
                self.seen.set()

    def _append(self, data: bytes) -> None:
        with contextlib.suppress(OSError):  # a full disk must not stop the part that it belongs to
            if self.path.exists() and self.path.stat().st_size + len(data) > self._max_bytes:
                self.path.replace(self.path.with_name(self.path.name + ".1"))
            with self.path.open("ab") as file:
                file.write(data)


def last_lines(path: Path, count: int, max_bytes: int = 16_384) -> list[str]:
    """The end of a log since its process was last started; empty where there is none."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - max_bytes))
            _, started, said = file.read().rpartition(STARTED)
            said = said.partition(b"\n")[2] if started else said
    except OSError:
        return []
    lines = said.decode(errors="replace").splitlines()
    # Java says why in front of a stack trace that is longer than any quote.
    return [line for line in lines if line.strip() and not line.startswith("\tat ")][-count:]
