"""A scenario: from a seed to a plan, a run, a verdict and a row of the report."""

import asyncio
import tempfile
import time
import uuid
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from typing import ClassVar

from confluent_kafka.admin import AdminClient
from opentelemetry.trace import NoOpTracer

from processors.backends.milvus.index import MilvusIndex
from processors.chunking import ChunkingRule, ChunkingRules
from processors.index_plan import FLAT_ROWS, Expected
from streams import provisioning
from streams.lag import lags
from streams.sender import Sender
from streams.settings import Settings
from tests.chaos import observer
from tests.chaos.checker import Verdict, changed, check, repeats, unanswered
from tests.chaos.fleet import LOOK_S, SESSION_S, STRIKE_S, Fleet
from tests.chaos.ledger import Asked, Entry, Fault, Ledger, Published
from tests.chaos.observer import Observer
from tests.chaos.workload import Driver, Shape, Step, planned, tenants

INGEST = ("chunk|embed|upsert", "chunk|embed+upsert", "chunk+embed+upsert")
QUERY = ("retrieve|rerank|generate", "retrieve+rerank+generate")
REST_S = 90.0
"""How long a run may take to come to rest after the last fault; what is unanswered then is a violation."""
CALM = "time to come to rest after the last event and fault"
EXACT = Expected(rows=FLAT_ROWS)
"""Every vector is compared, for an index that is approximate may miss a passage for good: docs/retrieval.md."""
CHUNKING = ChunkingRules(rules={"text/plain": ChunkingRule(min_chars=60, max_chars=300)})


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """Something that a scenario measured."""

    value: float
    unit: str
    at_most: float | None = None
    """What it is held to; none: it is only told."""

    @property
    def holds(self) -> bool:
        """What is no number holds nothing."""
        return self.at_most is None or self.value <= self.at_most


@dataclass(kw_only=True)
class Run:
    """What a scenario works with while it strikes."""

    seed: int
    engine: str
    random: Random
    """For the faults; drawn from the seed, and independent of the workload's."""
    settings: Settings
    ledger: Ledger
    fleet: Fleet
    driver: Driver
    driven: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the whole workload has been sent."""
    figures: dict[str, Figure] = field(default_factory=dict)
    """For the report, by what they measure."""

    @property
    def unanswered(self) -> int:
        return len(unanswered(self.ledger.entries))

    @property
    def ended(self) -> Sequence[str]:
        """Workers that ended by themselves."""
        others = self.ledger.faults(struck=False)
        return [f"{each.target} ended: {each.evidence}" for each in others if each.what == "exit"]

    def note(self, what: str, target: str, *, struck: bool, evidence: str) -> None:
        """A fault that is not the fleet's."""
        self.ledger.note(Fault(what=what, target=target, struck=struck, evidence=evidence))

    async def busy(self, stage: str = "", patience_s: float = STRIKE_S) -> None:
        """Wait until a worker has something in hand, in a stage or in any; for so long at most."""
        until = time.monotonic() + patience_s
        while not self.in_hand(stage) and time.monotonic() < until:  # noqa: ASYNC110 (their journals tell)
            await asyncio.sleep(LOOK_S)

    def in_hand(self, stage: str = "") -> Sequence[str]:
        """What the workers have begun and not finished, in a stage or in any."""
        return [about for about in self.fleet.in_hand if about.startswith(stage)]

    async def rest(self, within_s: float = REST_S) -> float:
        """Wait until everything is answered and committed, or for so long; how many seconds it took."""
        began = time.monotonic()
        while time.monotonic() < began + within_s:
            waiting = await asyncio.to_thread(lags, self.settings)
            if not self.unanswered and not any((waiting or {}).values()):
                break
            await asyncio.sleep(0.1)
        return time.monotonic() - began


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of a run; `python -m tests.chaos.report` renders it."""

    scenario: str
    number: int
    seed: int
    engine: str
    verdict: Verdict
    faults: int
    """Faults that struck while there was work in hand."""
    events: int
    questions: int
    repeats: int
    """Receipts and final events that came a second time."""
    changed: int
    """Questions whose second final event says something else than the first, which counts."""
    took_s: float
    figures: Mapping[str, Figure]
    story: str
    """For whoever reads that it failed: what, and how to repeat it."""


class Scenario(ABC):
    """Workers, a mixed workload, and something that breaks meanwhile. Subclasses say what, in `strike`."""

    number: ClassVar[int]
    """In the issue's list."""
    name: ClassVar[str]
    spares_workers: ClassVar[bool] = False
    """It breaks nothing that a worker may end of: one that ends by itself broke a promise."""
    shape: Shape = Shape()
    workers: int = 2
    session_s: float = SESSION_S
    lag_s: float = 0.0
    """By how much what searches show may lag behind what was written: a run is at rest only then."""

    @abstractmethod
    async def strike(self, run: Run) -> None:
        """Break things while the workload runs; draw everything from `run.random`. Leave nothing broken behind."""

    def plan(self, random: Random) -> tuple[Step, ...]:
        """The workload of a run."""
        return planned(self.shape, random)

    def judge(self, run: Run, verdict: Verdict) -> Verdict:
        """The verdict, with what this scenario checks beside the common promises."""
        return verdict

    def adapt(self, settings: Settings, random: Random) -> Settings:
        """The settings of a run: by default the segmentation, and static membership, change from seed to seed."""
        chosen = {"ingest_segments": random.choice(INGEST), "query_segments": random.choice(QUERY)}
        static = random.random() < 0.5 and settings.engine == "confluent"
        return settings.model_copy(update=chosen | {"instance_id": "chaos" if static else ""})

    async def deploy(self, settings: Settings, resources: AsyncExitStack) -> None:
        """Make the run's topics; they go with the resources, as does its collection."""
        await asyncio.to_thread(provisioning.apply, settings)
        resources.push_async_callback(_clear, settings)

    async def run(self, stack: Settings, *, seed: int, engine: str, folder: Path) -> Outcome:
        """One run, from its seed, on topics and a collection of its own; ledger, logs and journals stay in `folder`."""
        began = time.monotonic()
        async with AsyncExitStack() as resources:
            run, steps = await self._begin(stack, seed, engine, folder, resources)
            await run.fleet.start(self.workers)
            async with asyncio.TaskGroup() as tasks:
                driving = tasks.create_task(run.driver.drive(steps))
                driving.add_done_callback(lambda _: run.driven.set())
                tasks.create_task(self.strike(run))
            run.figures[CALM] = Figure(value=await run.rest(), unit="s")
            waiting = await asyncio.to_thread(observer.uncommitted, run.settings)
            await asyncio.sleep(self.lag_s)
            verdict = check(run.ledger.entries, await observer.dump(run.settings, tenants(steps)))
            ended = run.ended if self.spares_workers else ()
            verdict = replace(verdict, unexpected=(*verdict.unexpected, *waiting, *ended))
            return self._outcome(run, self.judge(run, verdict), time.monotonic() - began)

    async def _begin(
        self, stack: Settings, seed: int, engine: str, folder: Path, resources: AsyncExitStack
    ) -> tuple[Run, tuple[Step, ...]]:
        random = Random(f"{self.number} {seed}")
        name = f"c{self.number}s{seed}x{uuid.uuid4().hex[:6]}"
        home = Path(resources.enter_context(tempfile.TemporaryDirectory(dir=stack.home, prefix=name)))
        index = f"milvus+http://127.0.0.1:{stack.local.milvus_port}/{name}"
        own = {"topic_prefix": f"{name}-", "index": index, "home": home, "chunking": CHUNKING, "engine": engine}
        own |= {"kafka": stack.kafka_url, "index_expected": EXACT}
        settings = self.adapt(stack.model_copy(update=own), random)
        steps = self.plan(random)
        await self.deploy(settings, resources)
        kept = folder / name
        kept.mkdir()
        ledger = Ledger(kept / "ledger.jsonl")
        resources.callback(ledger.close)
        watching = Observer(settings, ledger)
        resources.push_async_callback(watching.close)
        await watching.open()
        sender = Sender(settings)
        await sender.open(NoOpTracer())
        resources.push_async_callback(sender.close)
        fleet = Fleet(settings, kept, ledger, session_s=self.session_s)
        resources.push_async_callback(fleet.close)
        driver = Driver(sender, settings, ledger, Random(f"{random.random()}"))
        return Run(
            seed=seed,
            engine=engine,
            random=Random(f"{random.random()}"),
            settings=settings,
            ledger=ledger,
            fleet=fleet,
            driver=driver,
        ), steps

    def _outcome(self, run: Run, verdict: Verdict, took_s: float) -> Outcome:
        def count(kind: type[Entry]) -> int:
            return sum(isinstance(entry, kind) for entry in run.ledger.entries)

        path = f"tests/chaos/test_{self.number:02}_*.py"
        again = f"make chaos SEEDS=1 FIRST={run.seed} WHAT='{path} -k {run.engine}'"
        story = f"{self.name}, seed {run.seed}, {run.engine}: {verdict}\nagain: {again}\nkept: {run.ledger.path.parent}"
        return Outcome(
            scenario=self.name,
            number=self.number,
            seed=run.seed,
            engine=run.engine,
            verdict=verdict,
            faults=len(run.ledger.faults()),
            events=count(Published),
            questions=count(Asked),
            repeats=repeats(run.ledger.entries),
            changed=changed(run.ledger.entries),
            took_s=took_s,
            figures=run.figures,
            story=story if verdict.clean else f"{story}\n{run.fleet.ends()}",
        )


async def _clear(settings: Settings) -> None:
    """Take a run's topics and collection off the servers that all runs share."""
    topics = [spec.name for spec in provisioning.desired(settings)]
    admin = AdminClient({**settings.kafka_config})
    for deleted in admin.delete_topics(topics).values():
        await asyncio.to_thread(deleted.result)
    index = MilvusIndex(settings.index_url)
    await index.open()
    await index.drop()
    await index.close()
