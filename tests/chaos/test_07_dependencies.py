"""7. Embedder, reranker and language model answer with errors, nonsense, too little, too slowly, or break off."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from streams.settings import Settings
from tests.chaos.checker import Verdict, answered_twice
from tests.chaos.fleet import STRIKE_S
from tests.chaos.moods import (
    EMBEDDER,
    LANGUAGE_MODEL,
    RERANKER,
    SERVED,
    Moody,
    embedding,
    language_model,
    moody,
    reranker,
)
from tests.chaos.report import Report
from tests.chaos.scenario import Run, Scenario
from tests.chaos.workload import Shape

pytestmark = pytest.mark.stack
QUICK_ENGINES = ("confluent",)

STRIKES = 5
"""Of the 28 that there are; each seed draws others."""
STEADY = ("NaN",)
"""A text whose answers alone are bad, between good ones, is to blame for them: this mood spoils all answers."""


class Dependencies(Scenario):
    """One after the other they fall into moods, between which they answer well, while documents and questions flow."""

    number = 7
    name = "dependencies fail"
    spares_workers = True  # what heals within its budget is not given up
    shape = Shape(documents=12, events=80, questions=40, over_s=8.0)
    workers = 1  # nothing rebalances, so nothing is delivered again
    session_s = 30.0

    def __init__(self, servers: Sequence[Moody]) -> None:
        self._servers = servers

    def adapt(self, settings: Settings, random: Random) -> Settings:
        embedder, reranker, model = (server.url for server in self._servers)
        named = {"embedder": f"tei+{embedder}", "reranker": f"tei+{reranker}"}
        generative = {"generator": f"openai+{model}/v1?model={SERVED}", "answer_mode": "generative"}
        return super().adapt(settings, random).model_copy(update=named | generative)

    async def strike(self, run: Run) -> None:
        for server, mood in self._drawn(run.random):
            await run.busy()
            before = server.spoilt
            server.share = 1.0 if mood in STEADY else run.random.choice((0.5, 1.0))
            server.mood = mood
            await _struck(server, before)
            await asyncio.sleep(run.random.uniform(0.2, 1.2))
            server.mood = ""
            spoilt = server.spoilt - before
            evidence = f"{spoilt} answers spoilt, {len(run.in_hand())} events in hand"
            run.note(mood, server.name, struck=spoilt > 0, evidence=evidence)
            await asyncio.sleep(run.random.uniform(0.1, 0.5))

    def _drawn(self, random: Random) -> Sequence[tuple[Moody, str]]:
        """One mood of each server, and others."""
        every = [(server, mood) for server in self._servers for mood in server.moods]
        first = [(server, random.choice(list(server.moods))) for server in self._servers]
        others = random.sample([each for each in every if each not in first], STRIKES - len(first))
        return random.sample([*first, *others], STRIKES)

    def judge(self, run: Run, verdict: Verdict) -> Verdict:
        """Without a kill no answer comes twice."""
        return replace(verdict, answered_twice=answered_twice(run.ledger.entries))


async def _struck(server: Moody, before: int) -> None:
    """Wait until an answer is spoilt, for so long at most."""
    until = time.monotonic() + STRIKE_S
    while server.spoilt == before and time.monotonic() < until:  # noqa: ASYNC110 (requests come by themselves)
        await asyncio.sleep(0.05)


@asynccontextmanager
async def moody_servers() -> AsyncIterator[Sequence[Moody]]:
    async with (
        embedding() as embeds,
        moody("embedder", embeds, EMBEDDER) as one,
        moody("reranker", reranker, RERANKER) as two,
        moody("language model", language_model, LANGUAGE_MODEL) as three,
    ):
        yield one, two, three


async def test_nothing_is_lost_or_put_aside_when_dependencies_fail(
    stack: Settings, seed: int, engine: str, tmp_path: Path, report: Report
) -> None:
    async with moody_servers() as servers:
        report.judge(await Dependencies(servers).run(stack, seed=seed, engine=engine, folder=tmp_path))
