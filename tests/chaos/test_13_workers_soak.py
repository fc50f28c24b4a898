"""13. Soak of the product's own worker: parsers, model, index and answers, for minutes."""

import asyncio
import time
import uuid
from itertools import count
from pathlib import Path

import pytest

from schemas import AnswerCompleted, AnswerRefused, DocumentIndexed
from streams.client import Client
from streams.settings import Settings
from tests.chaos.checker import Verdict
from tests.chaos.memory_slope import Slope, children, resident_bytes
from tests.chaos.report import Report
from tests.chaos.scenario import Figure, Outcome
from tests.chaos.test_13_soak import own_topics, soaked

FOR_S = 480.0
WARM_UP = 1_000
"""Documents: by then every process has parsed, and every arena has its size."""
DOCUMENTS = 200
"""Each is updated again and again: the index is not what grows."""
AT_ONCE = 16
ASK_EVERY = 20
MIB_PER_100K = 50.0
"""A leak of 500 bytes per document; less cannot be told from noise in so few of them."""
KINDS = (("txt", "{}"), ("md", "# Mill\n\n{}"), ("html", "<h1>Mill</h1><p>{}</p>"))


class Flow:
    """Documents and questions through a client, as fast as they come back."""

    def __init__(self, client: Client, slopes: list[Slope], *, until_s: float) -> None:
        self._client = client
        self._slopes = slopes
        self._until_s = until_s
        self._numbers = count()
        self.indexed = 0
        self.asked = 0
        self.wrong: list[str] = []

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            for _ in range(AT_ONCE):
                tasks.create_task(self._work())

    async def _work(self) -> None:
        while time.monotonic() < self._until_s:
            number = next(self._numbers)
            await self._update(number)
            if number % ASK_EVERY == 0:
                await self._ask(number)

    async def _update(self, number: int) -> None:
        ending, form = KINDS[number % len(KINDS)]
        text = form.format(f"The mill number {number} stands at the river, and the barge {number} waits there.")
        name = f"{number % DOCUMENTS}.{ending}"
        event = await self._client.publish(name, text.encode(), filename=name, version=number + 1)
        receipt = await self._client.receipt(event, timeout_s=120)
        if isinstance(receipt, DocumentIndexed):
            self.indexed += 1
        else:
            self.wrong.append(f"{name} version {number + 1}: {receipt}")
        for slope in self._slopes:
            slope.look(self.indexed)

    async def _ask(self, number: int) -> None:
        self.asked += 1
        reply = await self._client.answer(f"Where does the mill number {number} stand?")
        if not isinstance(reply, AnswerCompleted | AnswerRefused):
            self.wrong.append(f"question {number}: {reply}")


class Children(Slope):
    """The same of the processes below: the parsers."""

    def resident(self) -> int:
        return sum(map(resident_bytes, children(self.pid)))


@pytest.mark.stack
@pytest.mark.chaos
@pytest.mark.timeout(1200)
async def test_the_products_worker_keeps_its_memory_for_minutes(
    stack: Settings, engine: str, tmp_path: Path, report: Report
) -> None:
    began = time.monotonic()
    with own_topics(stack, engine) as topics:
        settings = topics.model_copy(update={"tenant": f"t{uuid.uuid4().hex[:12]}", "home": tmp_path})
        with soaked(settings, tmp_path / "worker.log", "streams", "worker") as process:
            slopes = [kind(process.pid, warm_up=WARM_UP, every=50) for kind in (Slope, Children)]
            async with Client(settings) as client:
                flow = Flow(client, slopes, until_s=began + FOR_S)
                await flow.run()
    report.judge(_outcome(flow, slopes, engine, time.monotonic() - began))


def _outcome(flow: Flow, slopes: list[Slope], engine: str, took_s: float) -> Outcome:
    figures: dict[str, Figure] = {}
    for name, slope, bound in zip(("the worker", "its parsers"), slopes, (MIB_PER_100K, None), strict=True):
        about = f"memory slope of {name} after {slope.warm_up:,} documents"
        figures[about] = Figure(value=slope.mib_per_100k, unit="MB per 100,000 documents", at_most=bound)
        figures[f"most memory in use by {name}"] = Figure(value=slope.peak_mib, unit="MB")
    verdict = Verdict(unexpected=tuple(flow.wrong))
    return Outcome(
        scenario="soak of the product's worker",
        number=13,
        seed=0,
        engine=engine,
        verdict=verdict,
        faults=int(flow.indexed > WARM_UP),  # the load itself
        events=flow.indexed,
        questions=flow.asked,
        repeats=0,
        changed=0,
        took_s=took_s,
        figures=figures,
        story=f"soak of {flow.indexed:,} documents, {engine}: {verdict}\nMB: {slopes[0]}\nparsers: {slopes[1]}",
    )
