"""With one guarantee switched off, the checker finds the violation; with all of them on, the same runs are clean."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Hashable, Iterable, Mapping, Sequence
from contextlib import suppress
from random import Random
from typing import Any

import pytest

from processors.errors import Poison
from processors.ports import Head
from schemas import ChunksEmbedded, DocumentId, Tenant
from streams.runtime import intake, work
from streams.runtime.handler import Handler
from streams.runtime.lanes import Lanes, Work
from streams.runtime.offsets import Offsets, Partition
from streams.runtime.records import Outgoing
from streams.topics import ANSWERS
from tests.chaos.checker import Verdict
from tests.chaos.memory import MemoryRun, MortalBroker, Rebalancing
from tests.chaos.memory_index import Key, MemoryIndex, Point, Stored
from tests.chaos.workload import Shape, Step, planned

SEEDS = (1, 2, 3)
SHAPE = Shape(documents=8, events=40, questions=8, deleted=0.2, unchanged=0.1, poison=0.1)


def steps(seed: int) -> Sequence[Step]:
    return planned(SHAPE, Random(seed))


def deaths(seed: int) -> Sequence[int]:
    """A dozen deaths at points that a run passes."""
    random = Random(seed)
    return sorted(random.sample(range(20, 900), 12))


async def killed(seed: int, **mutated: Any) -> Verdict:
    """A run whose processes die a dozen times."""
    run = MemoryRun(steps(seed), deaths=deaths(seed), **mutated)
    verdict = await run.run()
    assert run.points.deaths, "nothing died, so nothing was tried"
    return verdict


async def rebalanced(seed: int) -> Verdict:
    """A run whose partitions are lost and given back all the time."""
    return await MemoryRun(steps(seed), engine=lambda broker: Rebalancing(broker, Random(seed))).run(redelivery=True)


async def untouched(seed: int, **mutated: Any) -> Verdict:
    """A run in which nothing is broken on purpose."""
    return await MemoryRun(steps(seed), **mutated).run()


async def broken(verdicts: Iterable[Awaitable[Verdict]]) -> Mapping[str, int]:
    """How often each promise was broken, all runs together."""
    counts: Counter[str] = Counter()
    for verdict in verdicts:
        counts.update((await verdict).counts)
    return +counts


@pytest.mark.parametrize("run", [killed, rebalanced, untouched])
async def test_with_all_guarantees_nothing_is_broken(run: Callable[[int], Awaitable[Verdict]]) -> None:
    for seed in SEEDS:
        verdict = await run(seed)
        assert verdict.clean, f"seed {seed}: {verdict}"


class CommitsFirst(Offsets):
    """An offset may be committed as soon as its record is read: at most once."""

    def start(self, partition: Partition, offset: int, generation: int) -> bool:
        news = super().start(partition, offset, generation)
        self.finish(partition, offset, generation)
        return news


class CommitsPast(Offsets):
    """The highest finished offset is committed, whatever is unfinished before it."""

    def finish(self, partition: Partition, offset: int, generation: int) -> None:
        if self.owns(partition, generation):
            prefix = self._prefixes[partition]
            prefix.position = max(prefix.position, offset + 1)


class Unfenced(Offsets):
    """Whatever arrives counts for whoever owns the partition now."""

    def start(self, partition: Partition, offset: int, generation: int) -> bool:
        known = self._prefixes.get(partition)
        return super().start(partition, offset, max(generation, known.generation if known else 0))


@pytest.mark.parametrize("offsets", [CommitsFirst, CommitsPast])
async def test_commits_that_run_ahead_of_the_work_lose_it(
    offsets: type[Offsets], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake, "Offsets", offsets)
    found = await broken(killed(seed) for seed in SEEDS)
    assert found["unanswered"]
    assert found["lost"] + found["stale"]


async def test_without_a_fence_what_was_read_before_a_rebalance_hides_what_comes_after(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(intake, "Offsets", Unfenced)
    assert (await broken(rebalanced(seed) for seed in SEEDS))["unanswered"]


class EachItsOwnLane(Lanes):
    """Records of a key run beside each other."""

    def enter(self, key: Hashable, size_bytes: int, work: Work) -> None:
        super().enter(object(), size_bytes, work)


class Slow(MemoryIndex):
    """An index whose answers take a while, some longer than others."""

    async def head(self, tenant: Tenant, document_id: DocumentId) -> Head | None:
        for _ in range(len(self.rows) % 7):
            await asyncio.sleep(0)
        return await super().head(tenant, document_id)


async def test_without_lanes_a_document_s_versions_overtake_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not await broken(untouched(seed, index=Slow) for seed in SEEDS)
    monkeypatch.setattr(intake, "Lanes", EachItsOwnLane)
    assert (await broken(untouched(seed, index=Slow) for seed in SEEDS))["out_of_order"]


class HeadFirst(MemoryIndex):
    """Searches are told of a version before its rows are there."""

    def __init__(self, point: Point) -> None:
        super().__init__(point)
        self._later: list[ChunksEmbedded] = []

    async def write(self, event: ChunksEmbedded) -> None:
        self._later.append(event)

    async def flip(self, head: Head) -> None:
        await super().flip(head)
        later = [event for event in self._later if event.key == f"{head.tenant}/{head.document_id}"]
        for event in later:
            self._later.remove(event)
            await super().write(event)


class AllVersions(MemoryIndex):
    """Searches do not ask which version counts."""

    def live(self, document: Key) -> Sequence[Stored]:
        return [row for (of, _, _), row in self.rows.items() if of == document]


class Forgetful(MemoryIndex):
    """Says that it has stored what it has not."""

    async def write(self, event: ChunksEmbedded) -> None:
        if event.document.version % 2:
            await super().write(event)


class Undeleting(MemoryIndex):
    """A deletion removes nothing."""

    async def flip(self, head: Head) -> None:
        if head.rows_version is not None:
            await super().flip(head)

    async def erase(self, tenant: Tenant, document_id: DocumentId, *, up_to_version: int) -> Mapping[str, int]:
        return {}


@pytest.mark.parametrize(
    ("index", "promise"),
    [
        (HeadFirst, "lost"),
        (AllVersions, "duplicated"),
        (AllVersions, "stale"),
        (Forgetful, "lost"),
        (Undeleting, "stale"),
    ],
)
async def test_an_index_that_breaks_the_version_protocol_is_seen_through(
    index: type[MemoryIndex], promise: str
) -> None:
    assert (await broken(killed(seed, index=index) for seed in SEEDS))[promise]


class Unreliable(MortalBroker):
    """Now and then a write does not arrive, and the broker says so."""

    writes = 0

    async def send(self, record: Outgoing) -> Awaitable[None]:
        self.writes += 1
        if self.writes % 29 == 0:
            self.broken.add(record.topic)
        delivery = await super().send(record)
        self.broken.discard(record.topic)
        return delivery


async def test_a_lost_acknowledgement_that_counts_as_written_loses_the_record(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not await broken(killed(seed, broker=Unreliable) for seed in SEEDS)

    async def settle(delivery: Awaitable[None], sink: object) -> None:
        with suppress(ConnectionError):
            await delivery

    monkeypatch.setattr(work, "settle", settle)
    assert (await broken(killed(seed, broker=Unreliable) for seed in SEEDS))["unanswered"]


class Echoing(MortalBroker):
    """What goes to callers is written twice."""

    async def send(self, record: Outgoing) -> Awaitable[None]:
        if record.topic == ANSWERS.name:
            await super().send(record)
        return await super().send(record)


async def test_a_final_event_that_is_written_twice_is_noticed() -> None:
    assert (await broken(untouched(seed, broker=Echoing) for seed in SEEDS))["answered_twice"]


async def test_poison_that_counts_as_success_leaves_somebody_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    async def nothing(*_: object) -> None:
        pass

    monkeypatch.setattr(Handler, "_reject", nothing)
    assert (await broken(untouched(seed) for seed in SEEDS))["unanswered"]


async def test_good_documents_that_are_put_aside_are_unexpected() -> None:
    assert (await broken(untouched(seed, index=Picky) for seed in SEEDS))["unexpected"]


class Picky(MemoryIndex):
    """Refuses what it should take."""

    async def write(self, event: ChunksEmbedded) -> None:
        raise Poison("too-large-for-index", "it does not like this one")
