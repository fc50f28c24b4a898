"""Reading processes: kept warm, lent to one document at a time, ended where a document spoils them."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from processors.backends.documents.readers.child import FRAME
from processors.errors import Transient
from processors.turns import Slots

CHILD: Final = (
    "import sys; sys.path[:] = {path!r}; from processors.backends.documents.readers.child import main; main()"
)
INHERITED: Final = ("HOME", "LANG", "LD_LIBRARY_PATH", "PATH", "TMPDIR", "TZ")
INHERITED_PREFIXES: Final = ("HF_", "LC_", "PYTHON")
"""All that a reading process gets of our environment: hostile documents are read beside no password."""
ENVIRONMENT: Final = {
    "DO_NOT_TRACK": "1",
    "SCARF_NO_ANALYTICS": "1",
    "UNSTRUCTURED_DISABLE_NOTICE": "1",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
}
MAX_REPLY_BYTES: Final = 512 * 1024 * 1024
"""Above what the caps on a document let through; only a process that was taken over says more."""
ENDED_S: Final = 1.0
"""From the last byte of a process to its return code it takes some milliseconds."""


class ReadingProcess:
    """A reading process and the pipes to it."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.spoilt = True
        """It cannot be trusted with another document, until whoever borrowed it says otherwise."""

    @classmethod
    async def start(cls) -> "ReadingProcess":
        """Raises Transient where the machine has no room for one."""
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-c",
                CHILD.format(path=sys.path),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
                env=_environment(),
            )
        except OSError as error:
            raise Transient(f"cannot start a reading process: {error}") from error
        return cls(process)

    async def ask(self, *parts: bytes) -> bytes:
        """The answer to one request. Raises EOFError or OSError where the process ends instead."""
        assert self.process.stdin
        assert self.process.stdout
        for part in parts:
            self.process.stdin.write(FRAME.pack(len(part)))
            self.process.stdin.write(part)
        await self.process.stdin.drain()
        (size,) = FRAME.unpack(await self.process.stdout.readexactly(FRAME.size))
        if size > MAX_REPLY_BYTES:
            raise EOFError(f"a reply of {size} bytes")
        return await self.process.stdout.readexactly(size)

    async def ended(self) -> int:
        """The return code of a process that no longer answers."""
        try:
            async with asyncio.timeout(ENDED_S):
                return await self.process.wait()
        except TimeoutError:
            return 0  # it closed its pipes and goes on: whoever has it will end it

    async def kill(self) -> None:
        if self.process.returncode is None:
            self.process.kill()
        await self.process.wait()


class ReadingProcesses:
    """At most `count` of them. One that was spoilt is replaced at once, while its neighbours go on reading.

    The next one to be lent is the one that was given back last: its libraries are imported, its caches warm.
    """

    def __init__(self, count: int) -> None:
        self._slots = Slots(count)
        self._idle: list[ReadingProcess] = []
        self._busy: set[ReadingProcess] = set()
        self._replacing: set[asyncio.Task[None]] = set()
        self._closed = False
        self.warming: tuple[bytes, ...] = ()
        """The request by which a replacement imports what documents have needed so far."""

    async def close(self) -> None:
        self._closed = True
        for task in (replacing := list(self._replacing)):
            task.cancel()
        await asyncio.gather(*replacing, return_exceptions=True)
        processes = [*self._idle, *self._busy]
        self._idle.clear()
        for process in processes:
            await process.kill()

    @asynccontextmanager
    async def lent(self, size_bytes: int) -> AsyncIterator[ReadingProcess]:
        """A process for a document of this size; ended afterwards, unless whoever had it says it is not `spoilt`."""
        await self._slots.acquire(size_bytes)
        spoilt = False
        try:
            process = self._kept() or await ReadingProcess.start()
            self._busy.add(process)
            process.spoilt = True
            try:
                yield process
            finally:
                self._busy.discard(process)
                spoilt = process.spoilt
                await self._take_back(process)
        finally:
            if spoilt and not self._closed:
                # The slot is free again when there is somebody to fill it.
                replacing = asyncio.create_task(self._replace())
                self._replacing.add(replacing)
                replacing.add_done_callback(self._replacing.discard)
            else:
                self._slots.release()

    def _kept(self) -> ReadingProcess | None:
        """One that waits for a document: where memory ran out, the first to go was an idle one."""
        while self._idle:
            process = self._idle.pop()
            if process.process.returncode is None:
                return process
        return None

    async def _take_back(self, process: ReadingProcess) -> None:
        if process.spoilt:
            await process.kill()
        else:
            self._idle.append(process)

    async def _replace(self) -> None:
        try:
            process = await ReadingProcess.start()
            try:
                if self.warming:
                    await process.ask(*self.warming)
                process.spoilt = False
            finally:
                await self._take_back(process)
        except (EOFError, OSError, Transient):
            pass  # the next document starts one, and says what is wrong
        finally:
            self._slots.release()


def _environment() -> dict[str, str]:
    kept = {
        name: value for name, value in os.environ.items() if name in INHERITED or name.startswith(INHERITED_PREFIXES)
    }
    return kept | ENVIRONMENT
