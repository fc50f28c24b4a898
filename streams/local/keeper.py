"""One part's life: wait for the others, start, become ready, die, start again."""

import asyncio
import contextlib
import os
import sys
import time
from asyncio.subprocess import DEVNULL, Process
from collections.abc import Callable, Sequence
from pathlib import Path

from streams.local.errors import PartFailed
from streams.local.listeners import require_free
from streams.local.logs import PartLog
from streams.local.parts import Part
from streams.local.state import PartPhase, PartState

TETHER = str(Path(__file__).with_name("tether.py"))
PROBE_EVERY_S = 0.1
BACKOFF_S = (0.5, 1.0, 2.0, 4.0, 8.0)
"""Before each restart in a row; when they are used up, the part is given up."""
ROOM_EVERY_S = 0.5
HEALTHY_S = 60.0
"""A part that was ready this long starts its count of restarts anew."""


class Keeper:
    """Keeps one part running and writes what becomes of it into its state.

    A part that ends while the disk is full, or read-only, starts again when it can write, and is not given up before.
    """

    def __init__(
        self, part: Part, board: PartState, log: Path, publish: Callable[[], None], shortage: Callable[[], str]
    ) -> None:
        self.part = part
        self.ready = asyncio.Event()
        """Set while the part is ready."""
        self.settled = asyncio.Event()
        """Set once the first start has succeeded or failed."""
        self._board = board
        self._log = PartLog(log, part.ready_line)
        self._publish = publish
        self._shortage = shortage
        self._process: Process | None = None
        self._task: asyncio.Task[None] | None = None
        board.log = log if part.command else None

    def start(self, after: Sequence[asyncio.Event]) -> None:
        """Begin; the part itself starts when all of `after` are set."""
        self._task = asyncio.create_task(self._keep(after))

    async def stop(self) -> None:
        """Stop the process, with SIGTERM and then SIGKILL, and start it no more."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        await self._end()
        self._log.close()
        if self._board.phase != "failed":
            self._enter("stopped")

    async def _keep(self, after: Sequence[asyncio.Event]) -> None:
        for event in after:
            await event.wait()
        failures = 0
        while failures <= len(BACKOFF_S):
            try:
                ready_at = await self._begin()
                if self.part.command is None:
                    return
                reason = await self._exit()
                failures = 0 if time.monotonic() - ready_at > HEALTHY_S else failures
            except PartFailed as failure:
                reason = failure.reason
                await self._end()
            self.ready.clear()
            if self.settled.is_set() and (full := self._shortage()):
                await self._until_room(full)
                failures = 0
                continue
            if not self.settled.is_set() or failures == len(BACKOFF_S):
                break
            self._board.restarts += 1
            self._enter("restarting", reason)
            await asyncio.sleep(BACKOFF_S[failures])
            failures += 1
        self._enter("failed", reason)
        self.settled.set()

    async def _until_room(self, full: str) -> None:
        self._board.restarts += 1
        self._enter("restarting", f"{full}; it starts again then")
        while self._shortage():  # noqa: ASYNC110 (nobody tells when somebody makes room)
            await asyncio.sleep(ROOM_EVERY_S)

    async def _begin(self) -> float:
        """Start the part and wait until it is ready; when that was, by the monotonic clock. Raises PartFailed."""
        self._enter("starting")
        begun = time.monotonic()
        require_free(self.part)
        if self.part.prepare is not None:
            await _translated(self.part, self.part.prepare)
        if self.part.command is not None:
            self._process = await self._spawn(self.part.command())
            await self._await_ready(begun + self.part.start_s)
        self._board.start_s = round(time.monotonic() - begun, 2)
        self._board.detail = ""
        self._enter("ready")
        self.ready.set()
        self.settled.set()
        return time.monotonic()

    async def _spawn(self, command: Sequence[str]) -> Process:
        # A pipe of our own: asyncio's would keep `wait` waiting for whoever inherited it.
        reader, writer = os.pipe()
        try:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-I", "-S", TETHER, str(os.getpid()), *command),
                stdin=DEVNULL,
                stdout=writer,
                stderr=writer,
                env=os.environ | self.part.environment,
            )
        except BaseException:
            os.close(reader)
            raise
        finally:
            os.close(writer)
        await self._log.follow(reader, process.pid)
        self._board.pid = process.pid
        self._publish()
        return process

    async def _await_ready(self, deadline: float) -> None:
        assert self._process is not None
        while not await self._is_ready():
            if self._process.returncode is not None:
                raise PartFailed(self.part.name, await self._exit())
            if time.monotonic() > deadline:
                said = self._log.quote()
                raise PartFailed(self.part.name, f"not ready after {self.part.start_s:.0f} s{said}")
            await asyncio.sleep(PROBE_EVERY_S)

    async def _is_ready(self) -> bool:
        if self.part.probe is None:
            return self._log.seen.is_set()
        return await asyncio.to_thread(self.part.probe)

    async def _exit(self) -> str:
        """Wait for the process to end; why it did, as far as it said."""
        assert self._process is not None
        code = await self._process.wait()
        await self._log.ended()
        self._process, self._board.pid = None, None
        how = f"was killed by signal {-code}" if code < 0 else f"exited with {code}"
        return f"{how}{self._log.quote()}"

    async def _end(self) -> None:
        process, self._process, self._board.pid = self._process, None, None
        if process is None or process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            await asyncio.wait_for(process.wait(), self.part.stop_s)
        except TimeoutError:
            process.kill()
            await process.wait()

    def _enter(self, phase: PartPhase, detail: str | None = None) -> None:
        self._board.phase = phase
        self._board.since = time.time()
        if detail is not None:
            self._board.detail = detail
        self._publish()


async def _translated(part: Part, prepare: Callable[[], str | None]) -> None:
    try:
        await asyncio.to_thread(prepare)
    except OSError as error:
        raise PartFailed(part.name, f"cannot prepare: {error}") from error
