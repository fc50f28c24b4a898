"""What engines on a broker share: consumer groups in one loop, started, committed and stopped together."""

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Literal

from streams.runtime.crowd import Crowd
from streams.runtime.intake import AHEAD_BYTES, Handle, Intake

log = logging.getLogger("headwater.runtime")

COMMIT_INTERVAL_S = 1.0
STOP_S = 10.0
"""Leaving a group takes one round trip; a broker that is gone answers none."""
HUNG_S = 300.0
"""A reader that has not come round for so long will not: the longest that one waits, broker or no broker, is for the
answer to a commit, a minute. A group gives up who does not poll for as long, so that its end costs nobody anything."""

OnError = Callable[[BaseException], None]


class Group(ABC):
    """A consumer group's member in this process, with the intake behind it."""

    def __init__(self, name: str, intake: Intake) -> None:
        self.name = name
        self.intake = intake

    @abstractmethod
    async def start(self) -> None:
        """Join; returns when the group has said which partitions this member reads. None is an answer too."""

    @abstractmethod
    async def commit(self) -> None:
        """See that what is finished without a gap gets committed. Raises Fatal where that is hopeless."""

    @abstractmethod
    async def leave(self) -> None:
        """Commit what is finished, now, and leave the group; harmless where `start` came to nothing."""

    @abstractmethod
    def silent_s(self) -> float:
        """Since the reader came round, which it does at least every few seconds, records or none; 0 before `start`."""

    async def stop(self, *, grace_s: float) -> None:
        """Take nothing more, finish what is in hand, commit, leave the group."""
        self.intake.close()
        try:
            await asyncio.wait_for(self.intake.drain(), grace_s)
        except TimeoutError:
            log.warning("grace over", extra={"group": self.name, "in_flight": self.intake.offsets.in_flight()})
        await self.intake.cancel()
        try:
            async with asyncio.timeout(STOP_S):
                await self.leave()
        except TimeoutError:
            log.warning("group not left", extra={"group": self.name, "reason": "the broker does not answer"})


class Engine(ABC):
    """Reads topics in consumer groups, several in one process and loop."""

    def __init__(self, *, max_events: int, max_bytes: int, ahead_bytes: int = AHEAD_BYTES) -> None:
        """`max_events` and `max_bytes` bound what is in flight in each group, `ahead_bytes` what is read before."""
        self._max_events = max_events
        self._max_bytes = max_bytes
        self._ahead_bytes = ahead_bytes
        self._groups: list[Group] = []
        self._failed: asyncio.Future[None] | None = None

    @abstractmethod
    def group(self, name: str, topic: str, intake: Intake, on_error: OnError) -> Group:
        """A member of the group `name` that hands what it reads of `topic` to `intake`; `on_error` ends the engine.

        Raises ValueError where the client cannot work with its options.
        """

    def host(self, group: str, topic: str, handle: Handle, *, crowd: Crowd | None = None) -> Intake:
        """Consume `topic` in `group`; before `run`, and on its event loop. Raises ValueError, see `group`."""
        intake = Intake(
            handle,
            max_events=self._max_events,
            max_bytes=self._max_bytes,
            on_error=self._fail,
            ahead_bytes=self._ahead_bytes,
            crowd=crowd,
        )
        self._groups.append(self.group(group, topic, intake, self._fail))
        return intake

    async def run(self, stop: asyncio.Event, *, on_ready: Callable[[], None], grace_s: float = 10.0) -> None:
        """Consume until `stop` is set. Raises Fatal, or what a handler raised, with its record uncommitted."""
        self._failed = asyncio.get_running_loop().create_future()
        stopped = asyncio.create_task(stop.wait())
        commits = asyncio.create_task(self._commit())
        starting = asyncio.gather(*(group.start() for group in self._groups))
        try:
            ends: set[asyncio.Future[Literal[True]] | asyncio.Future[None]] = {stopped, commits, self._failed}
            await asyncio.wait({starting, *ends}, return_when=asyncio.FIRST_COMPLETED)
            if starting.done():
                starting.result()
                on_ready()
                await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (starting, stopped, commits):
                task.cancel()
            await asyncio.gather(starting, return_exceptions=True)  # asyncio complains of what nobody looked at
            grace = 0.0 if self._failed.done() else grace_s
            # Each to its end: one that cannot leave must not keep the others from their last commits.
            stops = await asyncio.gather(*(group.stop(grace_s=grace) for group in self._groups), return_exceptions=True)
        for outcome in (self._failed, commits):
            if outcome.done() and not outcome.cancelled():
                outcome.result()
        for stop_error in stops:
            if stop_error is not None:
                raise stop_error

    def hung(self) -> Sequence[str]:
        """The groups whose reader has stopped to come round, for good as far as anybody can tell."""
        return [group.name for group in self._groups if group.silent_s() > HUNG_S]

    async def _commit(self) -> None:
        while True:
            await asyncio.sleep(COMMIT_INTERVAL_S)
            for group in self._groups:
                await group.commit()

    def _fail(self, error: BaseException) -> None:
        if self._failed is not None and not self._failed.done():
            self._failed.set_exception(error)
