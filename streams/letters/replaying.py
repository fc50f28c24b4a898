"""Replaying: the record goes back to its topic, and once the broker has it, its letter is settled."""

import asyncio
from collections.abc import AsyncIterator, Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass

from processors.errors import Poison
from streams.letters.history import lengthened
from streams.letters.letter import original
from streams.letters.log import Log, fetch
from streams.letters.planning import Plan, Refusal, Step
from streams.letters.settled import settle
from streams.runtime.clock import Clock
from streams.runtime.offsets import Partition
from streams.runtime.records import Broker, Outgoing, Record

BATCH = 50
"""Records on their way at once: a command that is killed may repeat as many the next time."""
BATCH_BYTES = 16 * 1024 * 1024
"""As much of them may be in memory, and one more."""
BATCH_S = 0.5
"""How much of its rate a replay may write at once."""

Found = Generator[tuple[Step, Record | None], None, None]
"""Each step and its record; None where that is not kept any more."""


@dataclass(frozen=True, slots=True)
class Pace:
    """At most so many records a second; None: as fast as the broker takes them."""

    per_s: float | None = None

    @property
    def batch(self) -> int:
        return BATCH if self.per_s is None else max(1, min(BATCH, int(self.per_s * BATCH_S)))

    async def wait(self, until_s: float, *, clock: Clock, stop: asyncio.Event) -> None:
        """Return at that time of the clock, or when `stop` is set."""
        while not stop.is_set() and (ahead_s := until_s - clock.monotonic()) > 0:
            await clock.sleep(min(ahead_s, 0.1))

    def after(self, written: int, *, clock: Clock) -> float:
        """When the next batch may go, if so many were written now."""
        return clock.monotonic() + (0.0 if self.per_s is None else written / self.per_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayer:
    """Carries out a plan. Whatever ends it, each letter is then settled or open."""

    log: Log
    broker: Broker
    prefix: str
    clock: Clock
    check: Callable[[], None]
    """Raises where it is not our turn any more."""

    async def run(
        self, plan: Plan, *, pace: Pace, stop: asyncio.Event, on_done: Callable[[Step], None]
    ) -> Sequence[Refusal]:
        """Replay until nothing is left or `stop` is set; returns what the broker would not take, or had no more.

        A letter is settled when the broker has acknowledged its record and the mark. Raises ConnectionError where
        the broker is away, after what was under way is settled.
        """
        refused: list[Refusal] = []
        next_s = self.clock.monotonic()
        async for batch in self._records(plan.steps, pace.batch):
            await pace.wait(next_s, clock=self.clock, stop=stop)
            if stop.is_set():
                break
            self.check()
            next_s = pace.after(len(batch), clock=self.clock)
            refused += await self._write(batch, on_done)
        return refused

    async def _write(
        self, batch: Sequence[tuple[Step, Record | None]], on_done: Callable[[Step], None]
    ) -> Sequence[Refusal]:
        refused: list[Refusal] = []
        sent = []
        for step, record in batch:
            if record is None:
                refused += _refused(step, "its record is not kept any more")
            else:
                sent.append((step, await self.broker.send(self._again(step, record))))
        results = await asyncio.gather(*(delivery for _, delivery in sent), return_exceptions=True)
        done, errors = [], []
        for (step, _), result in zip(sent, results, strict=True):
            if isinstance(result, Poison):
                refused += _refused(step, result.detail)
            elif isinstance(result, BaseException):
                errors.append(result)
            else:
                done.append(step)
        letters = [letter for step in done for letter in step.letters]
        await settle(self.broker, letters, "replayed", clock=self.clock, prefix=self.prefix)
        for step in done:
            on_done(step)
        if errors:
            raise errors[0]
        return refused

    def _again(self, step: Step, record: Record) -> Outgoing:
        """The record as it was, and what it went through."""
        return Outgoing(
            topic=self.prefix + step.topic,
            key=record.key,
            value=record.value,
            headers=lengthened(original(record), step.letters[-1].failure),
        )

    async def _records(self, steps: Sequence[Step], size: int) -> AsyncIterator[Sequence[tuple[Step, Record | None]]]:
        with closing(self._found(steps)) as found:
            while batch := await asyncio.to_thread(_batch, found, size):
                yield batch

    def _found(self, steps: Sequence[Step]) -> Found:
        """Letters in the order of their topic, then the sources."""
        held: dict[Partition, dict[int, Step]] = {}
        for step in steps:
            if step.source is None:
                place = step.letters[0].id
                held.setdefault((place.topic, place.partition), {})[place.offset] = step
        for partition, wanted in held.items():
            with closing(self.log.scan({partition: min(wanted)})) as records:
                for record in records:
                    if (found := wanted.pop(record.offset, None)) is not None:
                        yield found, record
                    if not wanted:
                        break
            yield from ((gone, None) for gone in wanted.values())
        yield from ((step, fetch(self.log, step.source)) for step in steps if step.source is not None)


def _batch(found: Found, size: int) -> Sequence[tuple[Step, Record | None]]:
    """The next of them, so many at most; nothing at the end."""
    batch: list[tuple[Step, Record | None]] = []
    held_bytes = 0
    for step, record in found:
        batch.append((step, record))
        held_bytes += record.size_bytes if record is not None else 0
        if len(batch) == size or held_bytes >= BATCH_BYTES:
            break
    return batch


def _refused(step: Step, reason: str) -> Sequence[Refusal]:
    return [Refusal(letter, reason) for letter in step.letters]
