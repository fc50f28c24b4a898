"""The confluent engine: librdkafka's consumers, each behind a thread of its own. See docs/adr/0012."""

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future

from confluent_kafka import Message

from streams.runtime.engines.hosting import Engine, Group, OnError
from streams.runtime.engines.reader import Options, Reader
from streams.runtime.intake import AHEAD_BYTES, Intake
from streams.runtime.messages import record as _record
from streams.runtime.offsets import Partition

log = logging.getLogger("headwater.runtime")


class _Group(Group):
    """One consumer group: a reader in its thread, the intake, and the generations of its partitions."""

    def __init__(
        self,
        name: str,
        topic: str,
        intake: Intake,
        config: Options,
        on_error: OnError,
    ) -> None:
        super().__init__(name, intake)
        self._reader = Reader(config, topic, name, self)
        self._on_error = on_error
        self._batches: asyncio.Queue[Sequence[tuple[Message, int]]] = asyncio.Queue()
        self._generation = 0
        self._generations: dict[Partition, int] = {}
        """By partition that is read here: the assignment that it came with, by this group's own count."""
        self._last: dict[Partition, int] = {}
        """By partition: the last offset that came of it."""
        self._joined = asyncio.Event()
        self._reading: asyncio.Future[None] | None = None
        self._consuming: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._reading = _beside(self._reader.run, self.name)
        self._consuming = asyncio.create_task(self._consume())
        for ending in (self._reading, self._consuming):
            ending.add_done_callback(self._ended)
        await self._joined.wait()

    async def commit(self) -> None:
        self._reader.want(self._due(self._generations))

    def silent_s(self) -> float:
        return time.monotonic() - self._reader.came_round_at if self._reading is not None else 0.0

    async def stop(self, *, grace_s: float) -> None:
        self._reader.hold()
        await super().stop(grace_s=grace_s)

    async def leave(self) -> None:
        self._reader.stop()
        if self._consuming is not None:
            self._consuming.cancel()
        if self._reading is not None:
            await asyncio.wait({self._reading})

    def assigned(self, partitions: Sequence[Partition]) -> None:
        self._generation += 1
        self._generations.update(dict.fromkeys(partitions, self._generation))
        self._last.update(dict.fromkeys(partitions, -1))
        self._joined.set()

    def take(self, messages: Sequence[Message]) -> None:
        batch = []
        for message in messages:
            partition = _partition(message)
            self._watch(partition, message.offset() or 0)
            batch.append((message, self._generations.get(partition, 0)))
        self._batches.put_nowait(batch)

    async def let_go(self, partitions: Sequence[Partition]) -> Mapping[Partition, int]:
        due = self._due(partitions)
        for partition in partitions:
            self._generations.pop(partition, None)
            self.intake.revoke(partition)
        return due

    def committed(self, positions: Mapping[Partition, int]) -> None:
        self.intake.offsets.committed(positions)

    def _watch(self, partition: Partition, offset: int) -> None:
        """Begin anew where an offset lies before what came already: another topic has the name of the one read."""
        if partition in self._generations and offset <= self._last[partition]:
            log.warning("read anew", extra={"topic": partition[0], "partition": partition[1], "offset": offset})
            self.intake.revoke(partition)
            self.assigned([partition])
        self._last[partition] = offset

    async def _consume(self) -> None:
        while True:
            for message, generation in await self._batches.get():
                if self._generations.get(_partition(message)) == generation:
                    await self.intake.accept(_record(message), generation)
                self._reader.took(message)

    def _due(self, partitions: Iterable[Partition]) -> Mapping[Partition, int]:
        """What may be committed of these, each in the generation that owns it."""
        generations = {each: self._generations[each] for each in partitions if each in self._generations}
        due = {generation: self.intake.offsets.due(generation) for generation in set(generations.values())}
        return {each: due[generation][each] for each, generation in generations.items() if each in due[generation]}

    def _ended(self, ending: asyncio.Future[None]) -> None:
        if not ending.cancelled() and (error := ending.exception()) is not None:
            self._on_error(error)


class ConfluentEngine(Engine):
    """Reads topics by librdkafka, whose properties are the options."""

    def __init__(self, options: Options, *, max_events: int, max_bytes: int, ahead_bytes: int = AHEAD_BYTES) -> None:
        super().__init__(max_events=max_events, max_bytes=max_bytes, ahead_bytes=ahead_bytes)
        self._options = options

    def group(self, name: str, topic: str, intake: Intake, on_error: OnError) -> Group:
        return _Group(name, topic, intake, self._options, on_error)


def _beside(work: Callable[[], None], name: str) -> asyncio.Future[None]:
    """The outcome of work in a thread of its own, which keeps no process from ending, as an executor's would."""
    outcome: Future[None] = Future()

    def run() -> None:
        try:
            work()
        except BaseException as error:  # for whoever looks at the outcome
            outcome.set_exception(error)
        else:
            outcome.set_result(None)

    threading.Thread(target=run, name=name, daemon=True).start()
    return asyncio.wrap_future(outcome)


def _partition(message: Message) -> Partition:
    return message.topic() or "", message.partition() or 0
