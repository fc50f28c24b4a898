"""10. Poison: 1 % of it slows down nobody else; at 100 % the worker stops, and has put little aside by then."""

import asyncio
import statistics
import time
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from random import Random
from unittest.mock import AsyncMock

import pytest

from processors.errors import Poison
from processors.ports import Element, Parser
from streams.letters.letter import original
from streams.runtime.breaker import Breaker
from streams.runtime.engines.memory import MemoryBroker
from streams.runtime.records import Outgoing
from streams.settings import Settings
from streams.topics import DOCUMENTS
from tests.chaos.checker import Verdict
from tests.chaos.fleet import SESSION_S, Member
from tests.chaos.ledger import Buried, Entry, Fault, Published, Received
from tests.chaos.memory import MemoryPorts, MemoryRun
from tests.chaos.report import Report
from tests.chaos.scenario import Figure, Run, Scenario
from tests.chaos.worker import Paragraphs
from tests.chaos.workload import Shape, Step, Write, planned

QUICK_ENGINES = ("confluent",)
PATIENCE_S = 60.0
STOPS = 2
"""How often a worker at 100 % poison is watched as it stops."""
STARTS = 4
MAX_LETTERS = 20
"""Put aside by one start of a worker that knows nothing but poison of three tenants."""


class FewPoison(Scenario):
    """Now and then a document is poison."""

    number = 10
    name = "1 % poison"
    spares_workers = True
    shape = Shape(documents=80, events=120, questions=10, poison=0.01, over_s=2.0)

    def plan(self, random: Random) -> tuple[Step, ...]:
        bad = Write(tenant="tenant0", document="odd", version=1, marks=(), poison=True)
        return (Step(0.5, bad), *super().plan(random))

    async def strike(self, run: Run) -> None:
        await run.driven.wait()
        rejected = await met(run, lambda entry: isinstance(entry, Received) and entry.outcome == "rejected", 1)
        run.note("poison", "documents", struck=bool(rejected), evidence=f"{rejected} rejected")


class Lag(FewPoison):
    """Blocks with and without it, in turn, so that whatever else happens befalls both, after one that warms up."""

    name = "1 % poison, lag"
    blocks = 9
    size = 200
    over_s = 6.0
    rest_s = 2.0

    def plan(self, random: Random) -> tuple[Step, ...]:
        return tuple(step for block in range(self.blocks) for step in self._block(block, random))

    def _block(self, block: int, random: Random) -> Sequence[Step]:
        tenant = ("mixed" if block % 2 else "clean") if block else "warm-up"
        bad = set(random.sample(range(self.size), self.size // 100)) if tenant == "mixed" else set()
        return [
            Step(
                block * (self.over_s + self.rest_s) + number * self.over_s / self.size,
                Write(
                    tenant=tenant,
                    document=f"doc{block}-{number}",
                    version=1,
                    marks=() if number in bad else (f"mark{random.getrandbits(40):010x}",),
                    poison=number in bad,
                ),
            )
            for number in range(self.size)
        ]

    def judge(self, run: Run, verdict: Verdict) -> Verdict:
        mixed, clean = (p95_s(run.ledger.entries, tenant) for tenant in ("mixed", "clean"))
        run.figures["p95 lag without poison"] = Figure(value=clean, unit="s")
        run.figures["p95 lag of good documents among 1 % poison"] = Figure(value=mixed, unit="s")
        run.figures["one to the other"] = Figure(value=mixed / clean, unit="", at_most=1.2)
        return verdict


class AllPoison(Scenario):
    """Three tenants send nothing else, until somebody says that the documents are at fault."""

    number = 10
    name = "100 % poison"
    shape = Shape(documents=60, events=60, questions=0, tenants=3, poison=1.0, over_s=0.5)
    workers = 1

    async def strike(self, run: Run) -> None:
        await run.driven.wait()
        [member] = run.fleet.members
        stops = await met(run, lambda entry: isinstance(entry, Fault) and entry.evidence == "code 1", STOPS)
        letters = sum(isinstance(entry, Buried) for entry in run.ledger.entries)
        struck = stops >= STOPS and b"breaker-open" in member.log.read_bytes()
        said = f"it stopped {stops} times, with {letters} of {self.shape.events} put aside"
        run.note("nothing but poison", member.name, struck=struck, evidence=said)
        run.figures["dead letters of each start"] = Figure(value=letters / member.starts, unit="", at_most=MAX_LETTERS)
        run.fleet.members.remove(member)
        await member.close()
        settings = run.settings.model_copy(update={"stop_at_poison": False})
        folder = run.ledger.path.parent
        patient = Member("patient", settings, folder, run.ledger, stages="", session_s=SESSION_S)
        run.fleet.members.append(patient)
        await patient.ready()
        for number in range(3):
            mark = f"mark{run.random.getrandbits(40):010x}"
            good = Write(tenant=f"tenant{number}", document=f"good{number}", version=1, marks=(mark,))
            await run.driver.send(good)


async def met(run: Run, wanted: Callable[[Entry], bool], count: int) -> int:
    """How many such entries there are, as soon as there are so many."""
    until = time.monotonic() + PATIENCE_S
    while True:
        found = sum(wanted(entry) for entry in run.ledger.entries)
        if found >= count or time.monotonic() > until:
            return found
        await asyncio.sleep(0.05)


def p95_s(entries: Sequence[Entry], tenant: str) -> float:
    """From a good document's publication to its first receipt."""
    good = {each.address: each.at_s for each in entries if isinstance(each, Published) and not each.poison}
    lags: dict[object, float] = {}
    for entry in entries:
        if isinstance(entry, Received) and entry.tenant == tenant and entry.address in good:
            lags.setdefault(entry.address, entry.at_s - good[entry.address])
    return statistics.quantiles(lags.values(), n=20)[-1]


@pytest.mark.stack
async def test_good_documents_among_poison_are_indexed_and_the_poison_rejected(
    stack: Settings, seed: int, engine: str, tmp_path: Path, report: Report
) -> None:
    report.judge(await FewPoison().run(stack, seed=seed, engine=engine, folder=tmp_path))


@pytest.mark.stack
@pytest.mark.chaos
@pytest.mark.timeout(600)
async def test_one_percent_of_poison_delays_good_documents_by_no_more_than_a_fifth(
    stack: Settings, engine: str, tmp_path: Path, report: Report
) -> None:
    report.judge(await Lag().run(stack, seed=1, engine=engine, folder=tmp_path))


@pytest.mark.stack
async def test_a_worker_stops_at_nothing_but_poison_and_goes_on_where_it_is_told_to(
    stack: Settings, seed: int, engine: str, tmp_path: Path, report: Report
) -> None:
    report.judge(await AllPoison().run(stack, seed=seed, engine=engine, folder=tmp_path))


class Missing(Paragraphs):
    """A parser in a bad deploy."""

    async def parse(self, data: bytes, *, media_type: str, filename: str) -> Sequence[Element]:
        raise Poison("unreadable", "its library is not installed")


class Deploy(MemoryPorts):
    """The parser of a deploy that is bad or good."""

    good = False

    @cached_property
    def parser(self) -> Parser:
        return Paragraphs() if self.good else Missing()


class Deployed(MemoryRun):
    """A workload, worked on by one deploy after the other."""

    good = False

    def ports(self) -> MemoryPorts:
        ports = Deploy(self._settings, self.index)
        ports.good = self.good
        return ports

    async def run_bad(self, starts: int) -> None:
        """Start it so many times; each time it stops."""
        await self.publish(self._steps)
        for _ in range(starts):
            assert not await self.live()

    async def replay(self) -> None:
        """Write the letters back as they came."""
        for letter in self.broker.records(DOCUMENTS.dead_letter_name):
            again = Outgoing(topic=DOCUMENTS.name, key=letter.key, value=letter.value, headers=original(letter))
            await (await MemoryBroker.send(self.broker, again))


async def test_what_a_bad_deploy_put_aside_is_little_and_comes_back_whole(seed: int) -> None:
    shape = Shape(documents=60, events=60, questions=0, tenants=3, deleted=0.0, unchanged=0.0)
    run = Deployed(planned(shape, Random(f"10 {seed}")))
    await run.run_bad(STARTS)
    letters = run.broker.records(DOCUMENTS.dead_letter_name)
    assert 0 < len(letters) <= STARTS * MAX_LETTERS / 2
    run.good = True
    await run.replay()
    verdict = await run.rest(redelivery=True)
    assert (verdict.lost, verdict.stale, verdict.duplicated, verdict.unanswered) == ((), (), (), ()), verdict
    assert len(verdict.unexpected) == 2 * len(letters), verdict  # each was rejected once, with a letter


async def test_without_its_breaker_a_bad_deploy_drains_the_topic(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Breaker, "poison", AsyncMock())
    shape = Shape(documents=60, events=60, questions=0, tenants=3, deleted=0.0, unchanged=0.0)
    run = Deployed(planned(shape, Random("10 1")))
    with pytest.raises(AssertionError):
        await run.run_bad(1)
    assert len(run.broker.records(DOCUMENTS.dead_letter_name)) == shape.events
