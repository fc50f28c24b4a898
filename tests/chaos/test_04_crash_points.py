"""4. Crash-point enumeration: a process that dies at any await of any stage loses and doubles nothing."""

import asyncio
import time
from collections.abc import Awaitable, Iterator, Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from random import Random

import pytest

from processors import chunk
from processors.backends.objects import UrlObjectStore
from processors.ports import ObjectStore
from schemas import Claim, DocumentId, DocumentPublished, InlineBytes, QueryAsked, ReplyTo
from streams.runtime import intake, work
from streams.settings import Settings
from streams.topics import ANSWERS, DOCUMENTS, QUERIES
from tests.chaos import checker
from tests.chaos.checker import Verdict
from tests.chaos.crash_points import BufferingBroker, CrashPoints, World, awaits_of
from tests.chaos.ledger import Asked, Entry, Published
from tests.chaos.memory import MemoryPorts, MemoryRun
from tests.chaos.report import Report
from tests.chaos.scenario import Figure, Outcome
from tests.chaos.test_mutants import CommitsFirst
from tests.chaos.workload import Ask, Shape, Step, Write, document_event, planned, published, question, text_of

SHAPE = Shape(documents=3, events=8, questions=3, tenants=2, deleted=0.25, unchanged=0.2, poison=0.15)
CHAINS, DEATHS = 8, 3
"""After the enumeration: processes that follow one that died, and die as well, at any await of theirs."""
SEGMENTS = {
    "topics": ("chunk|embed|upsert", "retrieve|rerank|generate"),
    "fused": ("chunk+embed+upsert", "retrieve+rerank+generate"),
}
STAGES = ("chunk", "embed", "upsert", "retrieve", "rerank", "generate")
RACES = frozenset(
    {
        "newest = (await self.index.newest(about.tenant, {about.document_id: about.version})).get(about.document_id)",
        "return await self._old_news(event, newest)",
    }
)
"""Only where another worker is quicker: tests/processors/test_versions.py interleaves two."""
MARKS = tuple(f"mark{number:010x}" for number in range(1, 9))


def write(document: str, version: int, *marks: str, poison: bool = False) -> Write:
    return Write(tenant="tenant0", document=document, version=version, marks=marks, poison=poison)


BEFORE = (write("kept", 1, MARKS[0]), write("gone", 1, MARKS[1]), write("grown", 1, *MARKS[2:4]))
WATCHED = (
    *(write("kept", 2, MARKS[0]), write("gone", 2), write("grown", 2, *MARKS[2:7]), write("odd", 1, poison=True)),
    Ask(tenant="tenant0", query="about-kept", text=f"Which mill stands at {MARKS[0]}?"),
)
"""With them each await of each stage is passed, whatever a seed draws."""
ELSEWHERE = write("claimed", 1, MARKS[7])


class Shelf(UrlObjectStore):
    """An object store with the one object that is claimed."""

    async def get(self, claim: Claim) -> bytes:
        await asyncio.sleep(0)
        return text_of(ELSEWHERE.marks).encode()


class ClaimPorts(MemoryPorts):
    """Those of a run, and a shelf."""

    @cached_property
    def objects(self) -> ObjectStore:
        return Shelf("memory:///shelf")


class Everything(MemoryRun):
    """A workload of a seed, and all that a stage may meet."""

    def __init__(self, seed: int, segmentation: str) -> None:
        drawn = planned(SHAPE, Random(seed))
        half = len(drawn) // 2
        self._before = (*(Step(0, what) for what in BEFORE), *drawn[:half])
        self._watched = (*(Step(0, what) for what in WATCHED), *drawn[half:])
        ingest, query = SEGMENTS[segmentation]
        settings = Settings(ingest_segments=ingest, query_segments=query)
        super().__init__((*self._before, *self._watched), broker=BufferingBroker, settings=settings)

    def ports(self) -> MemoryPorts:
        return ClaimPorts(self._settings, self.index)

    async def begin(self) -> None:
        """Half of it is done, and the other half published."""
        await self.publish(self._before)
        assert await self.live()
        await self.publish(self._watched)
        event = document_event(ELSEWHERE)
        assert isinstance(event, DocumentPublished)
        claimed = replace(event, source=Claim(uri="memory:///shelf/1", sha256="0" * 64, size_bytes=1))
        for number in (1_001, 1_002):  # its producer repeats itself
            await self._write(DOCUMENTS.name, claimed, number)
        self.entries.append(published(ELSEWHERE, event))
        scanned = write("scanned", 1, MARKS[7])
        event = document_event(scanned)
        assert isinstance(event, DocumentPublished)
        await self._write(
            DOCUMENTS.name, replace(event, source=InlineBytes(data=text_of(scanned.marks).encode())), 1_003
        )
        self.entries.append(published(scanned, event))
        asked = Ask(tenant="tenant0", query="seeing", text=f"Which mill stands at {MARKS[7]}?")
        query: QueryAsked = question(asked, ReplyTo(topic=ANSWERS.name, partition=0))
        query = replace(query, min_versions={DocumentId("claimed"): 1}, wait_for_s=0)
        await self._write(QUERIES.name, query, 1_004)
        self.entries.append(Asked(query=asked.query))


class Enumeration:
    """A run, all the awaits that it passes, and what follows a death at each."""

    def __init__(self, seed: int, segmentation: str) -> None:
        self._seed = seed
        self._segmentation = segmentation
        self._published: tuple[Entry, ...] = ()
        self.broken: dict[str, Verdict] = {}
        """Where a death broke a promise, and which."""
        self.run = Everything(seed, segmentation)

    async def first(self) -> CrashPoints:
        """The run itself, which nothing disturbs."""
        await self.run.begin()
        self._published = tuple(self.run.entries)
        return await self._watched(self.run, "nowhere")

    async def after(self, world: World, name: str, *, watch: bool = False) -> CrashPoints:
        """Another process takes up what one that died at `name` has left."""
        run = Everything(self._seed, self._segmentation)
        run.entries = list(self._published)
        world.restore(run)
        if watch:
            return await self._watched(run, name)
        self._judge(name, await run.rest(redelivery=True))
        return CrashPoints(run)

    async def _watched(self, run: MemoryRun, name: str) -> CrashPoints:
        points = CrashPoints(run)
        assert isinstance(run.broker, BufferingBroker)
        run.broker.on_record = points.pass_by
        with points.watching():
            verdict = await run.rest(redelivery=True)
        self._judge(name, verdict)
        return points

    def _judge(self, name: str, verdict: Verdict) -> None:
        if not verdict.clean:
            self.broken[name] = verdict


@pytest.fixture(autouse=True)
def small_documents_are_large(monkeypatch: pytest.MonkeyPatch) -> None:
    """A few passages make several slices, and are cut in a thread of their own."""
    monkeypatch.setattr(chunk, "MAX_SLICE_CHUNKS", 2)
    monkeypatch.setattr(chunk, "LONG_CHARS", 700)


@pytest.mark.parametrize("segmentation", SEGMENTS)
async def test_a_death_at_any_await_breaks_no_promise(seed: int, segmentation: str, report: Report) -> None:
    began = time.monotonic()
    enumeration = Enumeration(seed, segmentation)
    points = await enumeration.first()
    assert not (missed := set(never(points)) - RACES), f"no process has died there: {missed}"
    for name, world in points.worlds.values():
        await enumeration.after(world, name)
    await chains(enumeration, points, Random(seed))
    report.judge(
        outcome(
            enumeration,
            seed=seed,
            segmentation=segmentation,
            deaths=len(points.passed) + CHAINS * DEATHS,
            took_s=time.monotonic() - began,
            figures={
                "awaits at which a process died": Figure(value=len(points.passed), unit=""),
                "different worlds that they left": Figure(value=len(points.worlds), unit=""),
            },
        )
    )


def never(points: CrashPoints) -> Iterator[str]:
    """The lines of the stages with an await that was not passed."""
    for stage in STAGES:
        path = Path(chunk.__file__).parent / f"{stage}.py"
        lines = path.read_text().splitlines()
        for name in awaits_of(path) - set(points.passed):
            number = int(name.partition(":")[2].partition(" ")[0])
            yield lines[number - 1].strip()


async def chains(enumeration: Enumeration, points: CrashPoints, random: Random) -> None:
    """Let who takes over die too, and who takes over from it."""
    for _ in range(CHAINS):
        then, where = points, ""
        for _ in range(DEATHS - 1):
            name, world = random.choice(list(then.worlds.values()))
            where = f"{where}; {name}" if where else name
            then = await enumeration.after(world, where, watch=True)
        name, world = random.choice(list(then.worlds.values()))
        await enumeration.after(world, f"{where}; {name}")


def outcome(
    enumeration: Enumeration, *, seed: int, segmentation: str, deaths: int, took_s: float, figures: Mapping[str, Figure]
) -> Outcome:
    """The first promise that a death broke, or none."""
    entries = enumeration.run.entries
    where, verdict = next(iter(enumeration.broken.items()), ("nowhere", Verdict()))
    again = f"make chaos SEEDS=1 FIRST={seed} WHAT='tests/chaos/test_04_crash_points.py -k {segmentation}'"
    return Outcome(
        scenario="death at every await",
        number=4,
        seed=seed,
        engine=f"memory, {segmentation}",
        verdict=verdict,
        faults=deaths,
        events=sum(isinstance(entry, Published) for entry in entries),
        questions=sum(isinstance(entry, Asked) for entry in entries),
        repeats=checker.repeats(entries),
        changed=checker.changed(entries),
        took_s=took_s,
        figures=figures,
        story=f"{len(enumeration.broken)} deaths broke a promise; at {where}: {verdict}\nagain: {again}",
    )


async def hasty(delivery: Awaitable[None], sink: object) -> None:
    """What was handed to the client counts as written."""


@pytest.mark.parametrize(("module", "name", "mutant"), [(intake, "Offsets", CommitsFirst), (work, "settle", hasty)])
async def test_the_enumeration_finds_a_guarantee_that_is_switched_off(
    module: object, name: str, mutant: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, name, mutant)
    enumeration = Enumeration(1, "topics")
    points = await enumeration.first()
    assert not enumeration.broken
    for where, world in points.worlds.values():
        await enumeration.after(world, where)
    assert any(verdict.unanswered for verdict in enumeration.broken.values())
