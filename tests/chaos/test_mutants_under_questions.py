"""What scenario 12 looks for is found where an index breaks its promise to readers, and nowhere else."""

import asyncio
from collections.abc import Sequence
from random import Random

import pytest

from processors.ports import Search
from schemas import ChunksEmbedded, Passage
from streams.settings import Settings
from streams.topics import ANSWERS, CANDIDATES
from tests.chaos.glimpses import Faults, Question, glimpse, judged, versions
from tests.chaos.memory import MemoryRun
from tests.chaos.memory_index import Key, MemoryIndex, Point, Stored
from tests.chaos.test_mutants import AllVersions, HeadFirst
from tests.chaos.workload import Ask, Step, Write

DOCUMENTS, BEFORE, UPDATES, QUESTIONS = 4, 2, 5, 60
"""Versions of each document that have their receipts when the first question is asked, and those that follow."""


class Busy(MemoryIndex):
    """Its searches wait for some moment of the updates."""

    def __init__(self, point: Point) -> None:
        super().__init__(point)
        self._random = Random(1)

    async def search(self, search: Search) -> Sequence[Passage]:
        flips = DOCUMENTS * BEFORE + self._random.randrange(DOCUMENTS * UPDATES)
        while sum(map(len, self.versions.values())) < flips:  # noqa: ASYNC110 (each turn of the loop is a moment)
            await asyncio.sleep(0)
        for _ in range(self._random.randrange(20)):
            await asyncio.sleep(0)
        return await super().search(search)


class BusyHeadFirst(HeadFirst, Busy):
    """Searches are told of a version before its rows are there."""


class BusyAllVersions(AllVersions, Busy):
    """Searches do not ask which version counts."""


class ClearsFirst(Busy):
    """What is there goes before what is new is written."""

    async def write(self, event: ChunksEmbedded) -> None:
        await self.erase(event.document.tenant, event.document.document_id, up_to_version=event.document.version - 1)
        await super().write(event)


class Torn(Busy):
    """The last passage of each version is not written."""

    async def write(self, event: ChunksEmbedded) -> None:
        await super().write(event)
        about = event.document
        del self.rows[(about.tenant, about.document_id), about.version, event.chunks[-1].ordinal]


class Lagging(Busy):
    """Searches see the version before the newest one."""

    def live(self, document: Key) -> Sequence[Stored]:
        heads = sorted(self.versions.get(document, {}).values(), key=lambda head: head.version)
        return [row for head in heads[-2:-1] for row in self._of(document, head.version, head.digest)]


async def hammered(seed: int, index: type[MemoryIndex]) -> tuple[Faults, int]:
    """What scenario 12 finds wrong in searches amid updates, and how many versions they saw."""
    random = Random(seed)
    names = [f"doc{number}" for number in range(DOCUMENTS)]
    before = [_write(name, version, random) for version in range(1, BEFORE + 1) for name in names]
    updates = [_write(name, BEFORE + number, random) for number in range(1, UPDATES + 1) for name in names]
    asked: dict[str, Question] = {}
    steps = list(updates)
    for number in range(QUESTIONS):
        query, name = f"{number:016x}", random.choice(names)
        asked[query] = Question(query=query, document=("tenant0", name), floor=BEFORE, alone=True)
        steps.append(Step(0, Ask(tenant="tenant0", query=query, text="Which mill?", document=name)))
    run = MemoryRun([*before, *steps], index=index, settings=Settings(ingest_segments="chunk+embed+upsert"))
    await run.publish(before)
    assert await run.live()
    await run.publish(steps)
    await run.rest()
    seen = [glimpse(record, "") for topic in (CANDIDATES, ANSWERS) for record in run.broker.records(topic.name)]
    glimpses = [each for each in seen if each is not None]
    searches = [each.shown for each in glimpses if each.whole]
    assert len(searches) == QUESTIONS
    shown = {frozenset(marks) for each in searches for marks in each.values()}
    return judged(asked, glimpses, versions(run.entries)), len(shown)


def _write(name: str, version: int, random: Random) -> Step:
    marks = tuple(f"mark{random.getrandbits(40):010x}" for _ in range(3))
    return Step(0, Write(tenant="tenant0", document=name, version=version, marks=marks))


async def test_an_index_that_keeps_the_version_protocol_shows_whole_versions_whenever_it_is_asked() -> None:
    found, shown = await hammered(1, Busy)
    assert found == Faults()
    assert shown > 2 * DOCUMENTS, "the questions saw no updates"


@pytest.mark.parametrize(
    ("index", "promise"),
    [
        (BusyHeadFirst, "empty"),
        (ClearsFirst, "empty"),
        (BusyAllVersions, "mixed"),
        (Torn, "mixed"),
        (Lagging, "stale"),
    ],
)
async def test_an_index_that_breaks_it_is_seen_through(index: type[MemoryIndex], promise: str) -> None:
    found, _ = await hammered(1, index)
    assert getattr(found, promise)
