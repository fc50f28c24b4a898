"""Permits, the queue, and one batch at a time."""

import asyncio
import os
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import perf_counter, sleep

from tests.servers.tei.encoding import CLS, SEP, Encoding
from tests.servers.tei.flags import MAX_BATCH_REQUESTS, Flags
from tests.servers.tei.model import Floats, MiniLm
from tests.servers.tei.refusals import Refusal, overloaded

CHANNEL = 8
"""Batches and health checks reach the backend through one channel of this size, and a batch does not wait for room."""
PROBE = Encoding((CLS, SEP), (), (), "", 0)


@dataclass(frozen=True, slots=True)
class Computed:
    """What the model gave for one input, and when."""

    output: Floats
    queued_s: float
    inference_s: float


@dataclass(slots=True, eq=False)
class _Entry:
    encoding: Encoding
    pooled: bool
    """Whether one vector is asked for, and not those of all tokens."""
    done: asyncio.Future[Computed]
    queued: float = field(default_factory=perf_counter)


@dataclass(slots=True, eq=False)
class _Command:
    """A batch, or a health check where there is none."""

    entries: Sequence[_Entry]
    done: asyncio.Future[None]


class Engine:
    """Computes what is queued, first come, first served."""

    def __init__(self, model: MiniLm, flags: Flags) -> None:
        self._model = model
        self._flags = flags
        self.free = flags.max_concurrent_requests
        """Permits that nobody holds."""
        self._queue: deque[_Entry] = deque()
        self._arrived = asyncio.Event()
        self._channel: asyncio.Queue[_Command] = asyncio.Queue(CHANNEL)
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="model")
        self._tasks: list[asyncio.Task[None]] = []
        self._failed = False
        self.slow_factor = flags.slow_factor
        self.counts: Counter[str] = Counter()
        """Of /metrics, by name and label."""

    def start(self) -> None:
        self._tasks = [asyncio.create_task(self._cut_batches()), asyncio.create_task(self._compute())]

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._executor.shutdown()

    def failed(self, refusal: Refusal) -> None:
        self.counts[f'te_request_failure{{err="{refusal.counted}"}}'] += 1

    @property
    def queued(self) -> int:
        return len(self._queue)

    @contextmanager
    def permits(self, count: int = 1) -> Iterator[None]:
        """One for each text, at once or not at all; a caller that goes away gives them back."""
        if count > self.free:
            raise overloaded()
        self.free -= count
        try:
            yield
        finally:
            self.free += count

    async def compute(self, encoding: Encoding, *, pooled: bool = True) -> Computed:
        entry = _Entry(encoding, pooled, asyncio.get_running_loop().create_future())
        self._queue.append(entry)
        self._arrived.set()
        try:
            return await entry.done
        except asyncio.CancelledError:
            self.counts['te_request_failure{err="dropped"}'] += 1
            raise

    async def healthy(self) -> None:
        """Wait for the backend's turn; after a failed batch it tries one token."""
        command = _Command((), asyncio.get_running_loop().create_future())
        await self._channel.put(command)
        await command.done

    async def _cut_batches(self) -> None:
        while True:
            await self._arrived.wait()
            batch = self._next_batch()
            if not batch:
                self._arrived.clear()
                continue
            command = _Command(batch, asyncio.get_running_loop().create_future())
            try:
                self._channel.put_nowait(command)
            except asyncio.QueueFull:
                os.abort()
            await command.done

    def _next_batch(self) -> list[_Entry]:
        batch: list[_Entry] = []
        longest = 0
        while self._queue and len(batch) < MAX_BATCH_REQUESTS:
            if self._queue[0].done.done():
                self._queue.popleft()
                continue
            longest = max(longest, len(self._queue[0].encoding.ids))
            if batch and longest * (len(batch) + 1) > self._flags.max_batch_tokens:
                break
            batch.append(self._queue.popleft())
        return batch

    async def _compute(self) -> None:
        while True:
            command = await self._channel.get()
            if command.entries:
                await self._batch(command.entries)
            elif self._failed:
                await self._run([PROBE])
                self._failed = False
            if not command.done.done():
                command.done.set_result(None)
            # The next batch is offered before the next command is taken: eight waiting checks leave it no room.
            await asyncio.sleep(0)

    async def _batch(self, entries: Sequence[_Entry]) -> None:
        if not any(one.encoding.ids for one in entries) and any(one.pooled for one in entries):
            os.abort()  # as TEI does on a batch without a single token
        started = perf_counter()
        running = self._run([one.encoding for one in entries])
        await asyncio.wait([running])
        waiting = [one for one in entries if not one.done.done()]
        # A refusal, or a bug, which the server then answers with 500.
        if error := running.exception():
            self._failed = True
            for one in waiting:
                one.done.set_exception(error)
            return
        took = perf_counter() - started
        for one, output in zip(entries, running.result(), strict=True):
            if one in waiting:
                one.done.set_result(Computed(output, started - one.queued, took))

    def _run(self, batch: Sequence[Encoding]) -> asyncio.Future[list[Floats]]:
        return asyncio.get_running_loop().run_in_executor(self._executor, self._forward, batch)

    def _forward(self, batch: Sequence[Encoding]) -> list[Floats]:
        marker = self._flags.fail_text
        if marker and any(marker in one.text for one in batch):
            raise Refusal("Backend", f"Backend error: Non-zero status code: a text holds {marker!r}", "inference")
        started = perf_counter()
        outputs = self._model(batch)
        sleep((perf_counter() - started) * (self.slow_factor - 1))
        return outputs
