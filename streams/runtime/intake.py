"""The intake of a consumer group: records in, each tenant in its turn, and which offsets may be committed."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass

from processors.memory import limit_bytes
from processors.turns import WHOSE, Turns, Whose
from streams.runtime.crowd import Crowd
from streams.runtime.headers import whose
from streams.runtime.lanes import Lanes
from streams.runtime.offsets import Offsets, Partition
from streams.runtime.records import Record

Handle = Callable[[Record], Awaitable[None]]

RECORD_BYTES = 2_400
"""What a record in hand takes beside its key and value: headers, objects, its place in the queues."""
AHEAD_BYTES = 128 * 2**20
"""Read ahead in each consumer group, where memory allows: more than 10,000 records of small documents."""


@dataclass(frozen=True, slots=True)
class _Held:
    """A record in hand, as one assignment of its partition brought it."""

    record: Record
    generation: int
    owner: Whose

    @property
    def partition(self) -> Partition:
        return self.record.topic, self.record.partition


class Intake:
    """What every engine puts between its consumer and the handler.

    What is read ahead waits by tenant; as soon as the window has room, the next one in turn enters it.
    """

    def __init__(
        self,
        handle: Handle,
        *,
        max_events: int,
        max_bytes: int,
        on_error: Callable[[BaseException], None],
        on_finish: Callable[[], None] = lambda: None,
        ahead_bytes: int = AHEAD_BYTES,
        crowd: Crowd | None = None,
    ) -> None:
        """`on_error` is told what a handler raised, `on_finish` that a record is finished.

        `max_events` and `max_bytes` bound the window, `ahead_bytes` what waits for it; of questions, `crowd` does so.
        """
        self._handle = handle
        self._on_finish = on_finish
        self._ahead_bytes = ahead_bytes
        self._crowd = crowd
        self._waiting: Turns[_Held] = Turns()
        self._inside: Counter[Whose] = Counter()
        """Records in the window."""
        self._alarms: dict[tuple[int, int], asyncio.TimerHandle] = {}
        """By partition and offset, for questions that wait: a deadline may be a day ahead."""
        self._outside = 0
        """Records that wait for room in the read-ahead."""
        self._room = asyncio.Event()
        self._closed = False
        self.offsets = Offsets()
        self._lanes = Lanes(max_events=max_events, max_bytes=max_bytes, on_error=on_error, on_room=self._fill)
        # For questions that need no work: they are refused, late or withdrawn.
        self._aside = Lanes(max_events=max_events, max_bytes=max_bytes, on_error=on_error, on_room=self._fill)

    @property
    def is_full(self) -> bool:
        """Whether engines should read no further."""
        if not self._aside.has_room(0):
            return True
        # A record that takes long holds up the offsets behind it, which are remembered although their work is done.
        remembered_bytes = RECORD_BYTES * (self.offsets.in_flight() - self._outside)
        return max(self._waiting.size, remembered_bytes) >= self._ahead_bytes

    async def accept(self, record: Record, generation: int) -> None:
        """Take a record in hand; waits while the read-ahead is full."""
        partition = (record.topic, record.partition)
        if not self.offsets.start(partition, record.offset, generation):
            return
        self._outside += 1
        try:
            while self.is_full and not self._closed:
                self._room.clear()
                await self._room.wait()
        finally:
            self._outside -= 1
        if self._closed or not self.offsets.owns(partition, generation):
            return
        size_bytes = RECORD_BYTES + record.size_bytes
        held = _Held(record, generation, whose(record))
        self._waiting.put(held, whose=held.owner, size=size_bytes, key=_key(record))
        self._fill()
        if self._crowd and self._waiting:
            self._queue(record, self._crowd)

    def revoke(self, partition: Partition) -> None:
        """The partition is about to be assigned anew: what waits of it is somebody else's work."""
        self.offsets.revoke(partition)
        for held in self._waiting.take(lambda held: held.partition == partition, served=False):
            self._disarm(held.record)
        self._fill()

    def hurry(self, key: bytes) -> None:
        """Questions of this key that wait are late or withdrawn: they are answered without waiting for their turn."""
        if self._closed:
            return
        for held in self._waiting.take(lambda held: held.record.key == key, served=False):
            self._aside.enter(key, held.record.size_bytes, self._work(held, self._handle))

    def close(self) -> None:
        """Start nothing more; what waits is given up, uncommitted."""
        self._closed = True
        self._room.set()

    async def drain(self) -> None:
        """Wait until nothing is in hand but, where the intake is closed, what waits."""
        await self._lanes.drain()
        await self._aside.drain()

    async def cancel(self) -> None:
        """Give up everything where it stands."""
        self.close()
        await self._lanes.cancel()
        await self._aside.cancel()

    def _queue(self, record: Record, crowd: Crowd) -> None:
        if len(self._waiting) > crowd.max_waiting:
            excess = self._waiting.excess()
            retry_after_s = crowd.retry_after_s(len(self._waiting))

            async def refuse(record: Record) -> None:
                await crowd.questions.refuse(record, retry_after_s=retry_after_s)

            self._aside.enter(_key(excess.record), excess.record.size_bytes, self._work(excess, refuse))
            if excess.record is record:
                return
        left_s = crowd.left_s(record)
        if left_s is not None and record.key is not None:
            alarm = asyncio.get_running_loop().call_later(left_s, self.hurry, record.key)
            self._alarms[record.partition, record.offset] = alarm

    def _disarm(self, record: Record) -> None:
        if alarm := self._alarms.pop((record.partition, record.offset), None):
            alarm.cancel()

    def _fill(self) -> None:
        while not self._closed and (held := self._next()):
            self._inside[held.owner] += 1
            self._lanes.enter(_key(held.record), held.record.size_bytes, self._in_window(held))
        if not self.is_full:
            self._room.set()

    def _next(self) -> _Held | None:
        """What enters the window, if anything has room: one tenant's long work does not fill the last of it."""
        if not self._waiting or not self._lanes.has_room(0):
            return None
        if self._lanes.has_room(self._waiting.first().record.size_bytes, sparing=True):
            return self._waiting.pop()
        return self._waiting.pop_where(
            lambda whose: whose not in self._inside, lambda held: self._lanes.has_room(held.record.size_bytes)
        )

    def _in_window(self, held: _Held) -> Callable[[], Awaitable[None]]:
        work, owner = self._work(held, self._handle), held.owner

        async def inside() -> None:
            try:
                await work()
            finally:
                self._inside[owner] -= 1
                if not self._inside[owner]:
                    del self._inside[owner]
            if self._crowd:
                self._crowd.served(len(self._waiting))

        return inside

    def _work(self, held: _Held, handle: Handle) -> Callable[[], Awaitable[None]]:
        async def work() -> None:
            self._disarm(held.record)
            # While it waited the partition may have gone to another worker, which does this work now.
            if self.offsets.owns(held.partition, held.generation):
                WHOSE.set(held.owner)
                await handle(held.record)
                self.offsets.finish(held.partition, held.record.offset, held.generation)
                self._on_finish()

        return work


def ahead_bytes(groups: int) -> int:
    """What each of so many consumer groups may read ahead: together an eighth of the container's memory."""
    return min(AHEAD_BYTES, limit_bytes() // 8 // max(1, groups))


def _key(record: Record) -> Hashable:
    return record.key if record.key is not None else (record.partition, record.offset)
