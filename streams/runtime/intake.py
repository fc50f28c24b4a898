"""The intake of a consumer group: records in, through the lanes, and which offsets may be committed."""

from collections.abc import Awaitable, Callable, Hashable

from streams.runtime.lanes import Lanes
from streams.runtime.offsets import Offsets
from streams.runtime.records import Record

Handle = Callable[[Record], Awaitable[None]]


class Intake:
    """What every engine puts between its consumer and the handler."""

    def __init__(
        self,
        handle: Handle,
        *,
        max_events: int,
        max_bytes: int,
        on_error: Callable[[BaseException], None],
        on_finish: Callable[[], None] = lambda: None,
    ) -> None:
        """`on_error` is told what a handler raised, `on_finish` that a record is finished."""
        self._handle = handle
        self._on_finish = on_finish
        self.offsets = Offsets()
        self.lanes = Lanes(max_events=max_events, max_bytes=max_bytes, on_error=on_error)

    async def accept(self, record: Record, generation: int) -> None:
        """Take a record in hand; waits while the window is full."""
        partition = (record.topic, record.partition)
        if not self.offsets.start(partition, record.offset, generation):
            return

        async def work() -> None:
            # Between queue and lane the partition may have gone to another worker, which does this work now.
            if self.offsets.owns(partition, generation):
                await self._handle(record)
                self.offsets.finish(partition, record.offset, generation)
                self._on_finish()

        key: Hashable = record.key if record.key is not None else (record.partition, record.offset)
        await self.lanes.submit(key, record.size_bytes, work)
