"""The desk where letters are worked on: one deployment's letters, read, planned, replayed and dropped."""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from streams.composition import Backends
from streams.letters.box import Box
from streams.letters.dropping import delete_settled, drop
from streams.letters.kafka import KafkaLog
from streams.letters.letter import DeadLetter, Place
from streams.letters.log import fetch
from streams.letters.planning import Plan, Refusal, Step, plan
from streams.letters.replaying import Pace, Replayer
from streams.letters.selection import Selection
from streams.letters.turn import Turn
from streams.pipelines import ingest, query
from streams.runtime.clock import SystemClock
from streams.runtime.producer import KafkaBroker
from streams.runtime.records import Record
from streams.runtime.segments import segments
from streams.settings import Settings
from streams.topics import LETTERS_SETTLED, MAX_PRODUCED_BYTES

DELIVERY_MS = 30_000
"""How long a broker that was there may be away before the work ends."""


class Desk:
    """What can be done with the letters of a deployment. Everything raises TopicMissing and ConnectionError.

    Who settles letters waits for their turn; `on_wait` is called where that takes longer than a moment.
    """

    def __init__(self, settings: Settings, *, on_wait: Callable[[], None]) -> None:
        self._settings = settings
        self._prefix = settings.topic_prefix
        self._log = KafkaLog(settings.kafka_config, self._prefix)
        self._clock = SystemClock()
        self._on_wait = on_wait

    def read(self, selection: Selection) -> Box:
        return Box.read(self._log, self._prefix, selection)

    def record(self, place: Place) -> Record | None:
        """A letter as it lies on the broker; None: it is not there any more."""
        return fetch(self._log, place)

    def plan(self, box: Box, selection: Selection) -> Plan:
        """What a replay of the open letters would do now. Letters that are named are replayed however late."""
        now = datetime.now(UTC) if selection.ids is None else None
        return plan(box.open, kept=self._log.starts(sorted(read_topics(self._settings))), now=now)

    async def replay(
        self,
        selection: Selection,
        *,
        pace: Pace,
        stop: asyncio.Event,
        on_plan: Callable[[Box, Plan], None],
        on_done: Callable[[Step], None],
    ) -> Sequence[Refusal]:
        """Replay what is open when our turn has come; returns what turned out to be impossible."""
        async with self._turn() as (turn, broker):
            box = await asyncio.to_thread(self.read, selection)
            made = await asyncio.to_thread(self.plan, box, selection)
            on_plan(box, made)
            replayer = Replayer(log=self._log, broker=broker, prefix=self._prefix, clock=self._clock, check=turn.check)
            return await replayer.run(made, pace=pace, stop=stop, on_done=on_done)

    async def drop(self, selection: Selection) -> tuple[Sequence[DeadLetter], int]:
        """Settle the letters that are open when our turn has come; which, and how many are deleted by that."""
        async with self._turn() as (turn, broker):
            box = await asyncio.to_thread(self.read, selection)
            await drop(broker, box.open, clock=self._clock, prefix=self._prefix, check=turn.check)
            return box.open, await asyncio.to_thread(delete_settled, self._log, self._prefix)

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[tuple[Turn, KafkaBroker]]:
        config = self._settings.kafka_config
        await asyncio.to_thread(self._log.starts, [LETTERS_SETTLED])  # a group would wait for its topic for ever
        broker = KafkaBroker(
            {"delivery.timeout.ms": DELIVERY_MS, "log_level": 2, **config}, max_record_bytes=MAX_PRODUCED_BYTES
        )
        async with Turn(config, self._prefix, on_wait=self._on_wait) as turn:
            await broker.open()
            try:
                yield turn, broker
            finally:
                await broker.close()


def read_topics(settings: Settings) -> Collection[str]:
    """The topics that workers with these settings read."""
    backends = Backends(settings)
    hosted = [
        *segments(ingest(backends, settings), settings.ingest_segments),
        *segments(query(backends, settings), settings.query_segments),
    ]
    return {segment.source.name for segment in hosted}
