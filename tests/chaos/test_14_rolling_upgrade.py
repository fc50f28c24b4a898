"""14. Rolling upgrade: three releases in one consumer group, and each reads what the others wrote."""

import asyncio
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from random import Random

import orjson
import pytest

from schemas import EVENTS
from streams.runtime.records import Record
from streams.settings import Settings
from streams.tail import Tail
from streams.topics import CANDIDATES, CHUNKS, EVIDENCE, VECTORS
from tests.chaos.fleet import Member
from tests.chaos.releases import NEWS, ROOT, UNKNOWN, newer, older
from tests.chaos.report import Report
from tests.chaos.scenario import Run, Scenario
from tests.chaos.workload import Ask, Shape, Write

QUICK_ENGINES = ("faust",)
BETWEEN = tuple(topic.name for topic in (CHUNKS, VECTORS, CANDIDATES, EVIDENCE))
OLDER, NEWER = "embed,upsert,rerank", "chunk,upsert,retrieve,generate"
"""With the present release, which hosts all stages, there are two releases in each group, and three in one. A worker of
all stages would read what it wrote itself, since the partitions of a key are the same everywhere."""
CROSSED_S = 40.0
STEP_S = 2.0
"""For which each later mixture of releases is at work."""


class RollingUpgrade(Scenario):
    """An older release and the present one work together, a newer one joins, and the others leave one by one."""

    number = 14
    name = "rolling upgrade"
    spares_workers = True
    shape = Shape(events=80, questions=15, over_s=6.0)
    workers = 1

    def adapt(self, settings: Settings, random: Random) -> Settings:
        """Events between all stages, so that they pass from one release to another."""
        between = {"ingest_segments": "chunk|embed|upsert", "query_segments": "retrieve|rerank|generate"}
        return settings.model_copy(update=between)

    async def strike(self, run: Run) -> None:
        folder = run.ledger.path.parent
        async with AsyncExitStack() as resources:
            passed = Passed(run.settings)
            await passed.open(resources)
            [present] = run.fleet.members
            old = run.fleet.join(stages=OLDER, release=older(folder / "older"))
            new = run.fleet.join(stages=NEWER, release=newer(folder / "newer"))
            await run.fleet.ready()
            releases = {"present": present, "older": old, "newer": new}
            await self._flow(run, lambda: passed.crossed(releases))
            await run.fleet.join(release=newer(folder / "newest")).ready()
            for leaver in (present, old):
                await run.fleet.leave(leaver, patience_s=0.5)
                await self._flow(run, lambda: False, STEP_S)
        evidence = ", ".join(f"{reader} read {count} of {writer}" for (writer, reader), count in passed.by(releases))
        run.note("several releases at once", "workers", struck=passed.crossed(releases), evidence=evidence)

    async def _flow(self, run: Run, enough: Callable[[], bool], at_most_s: float = CROSSED_S) -> None:
        """Documents and questions, beside the workload's, until it is enough."""
        until = time.monotonic() + at_most_s
        while not enough() and time.monotonic() < until:
            tenant, mark = f"tenant{run.random.randrange(3)}", f"mark{run.random.getrandbits(40):010x}"
            document = f"rolled{run.random.getrandbits(40):010x}"
            await run.driver.send(Write(tenant=tenant, document=document, version=1, marks=(mark,)))
            query = f"{run.random.getrandbits(64):016x}"
            await run.driver.send(Ask(tenant=tenant, query=query, text=f"Which mill stands at {mark}?"))
            await asyncio.sleep(0.1)


class Passed:
    """Events between the stages: which release wrote each, and which read it."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._writers: dict[str, str] = {}
        """By topic, partition and offset."""

    async def open(self, resources: AsyncExitStack) -> None:
        """Follow them until the resources are closed."""
        for name in BETWEEN:
            tail = Tail(self._settings.kafka_config, self._settings.topic_prefix + name)
            resources.push_async_callback(tail.close)
            await tail.open()
            tail.follow(self._hear)

    def by(self, releases: Mapping[str, Member]) -> Sequence[tuple[tuple[str, str], int]]:
        """How many events of each writer (`newer`, or `before` it) each reader has begun."""
        read: Counter[tuple[str, str]] = Counter()
        for reader, member in releases.items():
            places = {about.partition(" ")[2] for about in member.handled}
            read.update((self._writers[place], reader) for place in places & self._writers.keys())
        return sorted(read.items())

    def crossed(self, releases: Mapping[str, Member]) -> bool:
        """Whether one before has read what the newer one wrote, and it what those wrote, and all are at work."""
        read = dict(self.by(releases)).keys()
        there = {reader for _, reader in read} == releases.keys()
        return there and ("before", "newer") in read and not read.isdisjoint({("newer", "older"), ("newer", "present")})

    def _hear(self, records: Sequence[Record]) -> None:
        for record in records:
            writer = "newer" if NEWS in orjson.loads(record.value or b"{}") else "before"
            self._writers[f"{record.topic}/{record.partition}/{record.offset}"] = writer


@pytest.mark.stack
async def test_releases_that_work_side_by_side_lose_nothing(
    stack: Settings, seed: int, engine: str, tmp_path: Path, report: Report
) -> None:
    report.judge(await RollingUpgrade().run(stack, seed=seed, engine=engine, folder=tmp_path))


REWRITE = """
import sys, orjson
from schemas import EVENTS, decode, encode
for line in sys.stdin.buffer:
    ce_type, value = orjson.loads(line)
    sys.stdout.buffer.write(orjson.dumps([ce_type, encode(decode(value.encode(), ce_type, EVENTS)).decode()]) + b"\\n")
"""
"""Reads events as a release does, and writes them again."""


def rewritten(lines: bytes, release: Mapping[str, str]) -> bytes:
    done = subprocess.run(
        [sys.executable, "-c", REWRITE],
        input=lines,
        env=os.environ | dict(release),
        cwd=ROOT,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def test_every_committed_example_passes_through_each_release_and_back(tmp_path: Path) -> None:
    present = {"PYTHONPATH": str(ROOT), "PYTHONSAFEPATH": "1"}
    releases = {"older": older(tmp_path / "older"), "newer": newer(tmp_path / "newer")}
    examples = sorted((ROOT / "schemas" / "examples").glob("*.json"))
    types = {event.ce_type for event in EVENTS}
    named = [(next(name for name in types if path.name.startswith(f"{name}.")), path.read_text()) for path in examples]
    lines = rewritten(b"".join(orjson.dumps(each) + b"\n" for each in named), present)
    late = {line.split(":")[0].strip() for fields in UNKNOWN.values() for line in fields}
    seen: dict[str, list[dict[str, object]]] = {}
    for way in (("older", "newer"), ("newer", "older")):
        through = lines
        for name in way:
            through = rewritten(through, releases[name])
        seen[way[-1]] = events(through)
        for before, after in zip(events(lines), events(rewritten(through, present)), strict=True):
            assert without(after, late) == without(before, late), way
    assert all(NEWS in event for event in seen["newer"])
    assert not any(late & event.keys() for event in seen["older"])


def events(lines: bytes) -> list[dict[str, object]]:
    return [orjson.loads(orjson.loads(line)[1]) for line in lines.splitlines()]


def without(value: object, names: set[str]) -> object:
    """The event without these fields, wherever they stand."""
    if isinstance(value, dict):
        return {name: without(each, names) for name, each in value.items() if name not in names}
    return [without(each, names) for each in value] if isinstance(value, list) else value
