"""A pipeline on the memory engine whose letters are read, replayed and dropped."""

import asyncio
from collections.abc import Callable, Generator, Sequence
from datetime import datetime

from streams.letters.box import Box
from streams.letters.dropping import delete_settled, drop
from streams.letters.log import Positions
from streams.letters.planning import Plan, Refusal, Step, plan
from streams.letters.replaying import Pace, Replayer
from streams.letters.selection import Selection
from streams.runtime.engines.memory import MemoryBroker
from streams.runtime.offsets import Partition
from streams.runtime.records import Record
from streams.topics import LETTERS_SETTLED
from streams.wiring import Pipeline
from tests.streams.runtime.wiring import PREFIX, Bench

EVERYTHING = Selection()


class MemoryLog:
    """The broker's logs, from whose beginning records may have been deleted."""

    def __init__(self, broker: MemoryBroker) -> None:
        self._broker = broker
        self.firsts: dict[Partition, int] = {}

    def starts(self, topics: Sequence[str]) -> Positions:
        return {
            (topic, number): self.firsts.get((topic, number), 0)
            for topic in topics
            for number in range(len(self._broker.logs[PREFIX + topic]))
        }

    def scan(self, positions: Positions) -> Generator[Record, None, None]:
        ends = {partition: len(self._broker.logs[PREFIX + partition[0]][partition[1]]) for partition in positions}
        for (topic, number), start in positions.items():
            first = max(start, self.firsts.get((topic, number), 0))
            yield from self._broker.logs[PREFIX + topic][number][first : ends[topic, number]]

    def delete(self, before: Positions) -> None:
        self.firsts.update(before)


class Desk:
    """Letters of one bench. Workers read what its segments read."""

    def __init__(self, pipeline: Pipeline, segmentation: str) -> None:
        self.bench = Bench(pipeline, segmentation)
        self.bench.broker.logs[PREFIX + LETTERS_SETTLED] = [[]]
        self.log = MemoryLog(self.bench.broker)
        self.stop = asyncio.Event()
        self.on_done: Callable[[Step], None] = lambda _: None

    @property
    def reads(self) -> set[str]:
        return {segment.source.name for segment in self.bench.segments}

    def box(self, selection: Selection = EVERYTHING) -> Box:
        return Box.read(self.log, PREFIX, selection)

    def plan(self, selection: Selection = EVERYTHING, *, now: datetime | None = None) -> Plan:
        return plan(self.box(selection).open, kept=self.log.starts(sorted(self.reads)), now=now)

    async def replay(self, selection: Selection = EVERYTHING, *, per_s: float | None = None) -> Sequence[Refusal]:
        replayer = Replayer(
            log=self.log, broker=self.bench.broker, prefix=PREFIX, clock=self.bench.clock, check=lambda: None
        )
        return await replayer.run(self.plan(selection), pace=Pace(per_s), stop=self.stop, on_done=self.on_done)

    async def drop(self, selection: Selection) -> int:
        letters = self.box(selection).open
        await drop(self.bench.broker, letters, clock=self.bench.clock, prefix=PREFIX, check=lambda: None)
        return delete_settled(self.log, PREFIX)
