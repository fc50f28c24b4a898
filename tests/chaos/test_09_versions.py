"""9. Versions permuted, repeated, deleted before they are created: the highest one is seen, and nothing else."""

import asyncio
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from random import Random

import pytest

from processors.ports import Head
from schemas import DocumentId, Tenant
from streams.settings import Settings
from tests.chaos import checker
from tests.chaos.ledger import Asked, Entry, Published, Received
from tests.chaos.memory import MemoryRun
from tests.chaos.memory_index import Key, MemoryIndex
from tests.chaos.report import Report
from tests.chaos.scenario import Outcome, Run, Scenario
from tests.chaos.workload import Shape, Step, disordered, planned

QUICK_ENGINES = ("faust",)
SHAPE = Shape(documents=10, events=80, questions=10, deleted=0.25, unchanged=0.1, poison=0.05)
IN_MEMORY = 6
"""Permutations for each seed."""
STRUCK_S = 30.0


class Disorder(Scenario):
    """A document's versions arrive in any order, and some arrive twice."""

    number = 9
    name = "versions in any order"
    spares_workers = True
    shape = Shape(documents=10, events=60, questions=10, deleted=0.25, unchanged=0.1, over_s=2.0)

    def plan(self, random: Random) -> tuple[Step, ...]:
        return disordered(super().plan(random), random)

    async def strike(self, run: Run) -> None:
        await run.driven.wait()
        until = time.monotonic() + STRUCK_S
        while not (late := superseded(run.ledger.entries)) and time.monotonic() < until:  # noqa: ASYNC110
            await asyncio.sleep(0.1)
        evidence = (
            f"{early_deletions(run.ledger.entries)} deletions of what was not there yet; {late} late versions met"
        )
        run.note("versions in disorder", "documents", struck=bool(late), evidence=evidence)


def superseded(entries: Iterable[Entry]) -> int:
    """Versions that arrived after a newer one, as their receipts say."""
    return sum(isinstance(entry, Received) and entry.code == "superseded" for entry in entries)


def early_deletions(entries: Iterable[Entry]) -> int:
    """Deletions that were sent before any older version of their document."""
    highest: dict[tuple[str, str], list[int]] = defaultdict(list)
    early = 0
    for entry in entries:
        if isinstance(entry, Published):
            before = highest[entry.tenant, entry.document]
            early += not entry.marks and not entry.poison and not any(each < entry.version for each in before)
            before.append(entry.version)
    return early


@pytest.mark.stack
async def test_versions_in_any_order_end_as_the_highest_on_kafka(
    stack: Settings, seed: int, engine: str, tmp_path: Path, report: Report
) -> None:
    report.judge(await Disorder().run(stack, seed=seed, engine=engine, folder=tmp_path))


async def test_versions_in_any_order_end_as_the_highest_whoever_dies_meanwhile(seed: int, report: Report) -> None:
    began = time.monotonic()
    random = Random(f"9 {seed}")
    runs = []
    for _ in range(IN_MEMORY):
        deaths = sorted(random.sample(range(20, 1_500), random.choice((0, 6))))
        run = MemoryRun(disordered(planned(SHAPE, random), random), deaths=deaths)
        runs.append((run, await run.run(redelivery=bool(deaths))))
    entries = [entry for run, _ in runs for entry in run.entries]
    assert early_deletions(entries)
    broken = next((verdict for _, verdict in runs if not verdict.clean), runs[0][1])
    again = f"make chaos SEEDS=1 FIRST={seed} WHAT='tests/chaos/test_09_versions.py -k whoever_dies'"
    report.judge(
        Outcome(
            scenario=Disorder.name,
            number=9,
            seed=seed,
            engine="memory",
            verdict=broken,
            faults=superseded(entries),
            events=sum(isinstance(entry, Published) for entry in entries),
            questions=sum(isinstance(entry, Asked) for entry in entries),
            repeats=sum(checker.repeats(run.entries) for run, _ in runs),
            changed=sum(checker.changed(run.entries) for run, _ in runs),
            took_s=time.monotonic() - began,
            figures={},
            story=f"versions in any order, seed {seed}: {broken}\nagain: {again}",
        )
    )


class LastWins(MemoryIndex):
    """Nobody asks which versions there are: whatever comes last counts."""

    async def head(self, tenant: Tenant, document_id: DocumentId) -> Head | None:
        return None

    async def newest(self, tenant: Tenant, versions: Mapping[DocumentId, int]) -> Mapping[DocumentId, Head]:
        return {}

    async def flip(self, head: Head) -> None:
        await super().flip(head)
        versions = self.versions[head.tenant, head.document_id]
        versions[head.version] = versions.pop(head.version)

    def _head(self, document: Key) -> Head | None:
        return next(reversed(self.versions.get(document, {}).values()), None)


async def test_an_index_in_which_the_last_version_wins_is_seen_through() -> None:
    random = Random(1)
    found = await MemoryRun(disordered(planned(SHAPE, random), random), index=LastWins).run(redelivery=True)
    assert found.stale
