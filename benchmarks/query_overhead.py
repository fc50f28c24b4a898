"""What the pipeline adds to a question beyond the time of its models and its search."""

import asyncio
import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path
from typing import Annotated, get_args

import typer

from benchmarks.bare_hop import bare_hops
from benchmarks.corpus import articles
from benchmarks.publishing import STAGES, caller, ingest
from benchmarks.results import RESULTS, Cores, Figure, Result, Results, Target, circumstances, hand_in, percentile
from benchmarks.rig import SPANS_FILE, deployment, injected, pin, stack, worker
from benchmarks.timed import busy_ns, spans
from schemas import QueryFailed
from streams.client import Client
from streams.settings import EngineName, Settings

QUERY_STAGES = "retrieve,rerank,generate"
TOPICS, FUSED = "retrieve|rerank|generate", "retrieve+rerank+generate"
LAYOUTS = {TOPICS: "topics", FUSED: "fused"}
ENGINES: tuple[EngineName, ...] = get_args(EngineName)
TARGETS = {(TOPICS, 50): 12, (TOPICS, 95): 30, (FUSED, 50): 5}
DOCUMENTS = 12
DEFAULT: EngineName = Settings.model_fields["engine"].default
WARM_UP = 100
"""For each side; a fresh broker takes some hundred questions until its code is compiled."""
LIMIT_S = 600.0
Asked = tuple[int, int]
Side = tuple[str, EngineName]
SIDES: Sequence[Side] = [(layout, engine) for layout in LAYOUTS for engine in ENGINES]

METHOD = """\
One caller asks one question after the other over 12 indexed documents (about 290 chunks) and reads the streamed
answer to its end. Everything is real: Kafka, int8 embedder, Milvus Lite, reranker, extractive answers; one worker
process hosts the three query stages. Both engines answer in turn; the targets are for the one that workers use unless
told otherwise. The worker writes down when its embedder, index, reranker and generator worked;
what is left of a question's time, from before it is sent until its final event is read, is the pipeline's. A bare
hop is one record from a bare producer to a bare consumer on the same broker, at the pace of the questions: a question
over topics takes four hops, a fused one two, and Kafka's threads take longer to wake up than to work."""


def main(
    questions: Annotated[int, typer.Option(help="Questions in each repeat.")] = 50,
    repeats: Annotated[int, typer.Option(help="Turns of each layout.")] = 4,
    cores: Cores = 2,
    results: Results = RESULTS,
) -> None:
    """Milliseconds that the pipeline adds to a question."""
    where = circumstances()
    pin(cores)
    with stack() as settings:
        added, whole = asyncio.run(asyncio.wait_for(measure(settings, questions, repeats), LIMIT_S))
        pause_s = statistics.median(map(statistics.median, whole[FUSED, DEFAULT])) / 1000
        floor = [bare_hops(deployment(settings, "hops"), questions, pause_s=pause_s) for _ in range(repeats)]
    samples = tuple(percentile(turn, 50) for turn in floor)
    figures = [Figure(name="one bare Kafka hop at that pace, p50", unit="ms", samples=samples)]
    for side in SIDES:
        figures += _figures(side, added[side], whole[side])
    hand_in(Result("query_overhead", METHOD, tuple(figures), where, {"questions": questions, "cores": cores}), results)


def _figures(side: Side, added: Sequence[Sequence[float]], whole: Sequence[Sequence[float]]) -> Iterator[Figure]:
    layout, engine = side
    for percent in (50, 95):
        bound = TARGETS.get((layout, percent)) if engine == DEFAULT else None
        yield Figure(
            name=f"added to a question, p{percent}, `{layout}`, {engine}",
            unit="ms",
            samples=tuple(percentile(turn, percent) for turn in added),
            target=Target(at="most", value=bound) if bound else None,
        )
    samples = tuple(percentile(turn, 50) for turn in whole)
    yield Figure(name=f"whole question, p50, `{layout}`, {engine}", unit="ms", samples=samples)


async def measure(
    settings: Settings, questions: int, repeats: int
) -> tuple[dict[Side, list[list[float]]], dict[Side, list[list[float]]]]:
    """By side and turn, for every question: milliseconds added by the pipeline, and milliseconds in all."""
    corpus = list(articles(DOCUMENTS, seed=4))
    asked: dict[Side, list[list[Asked]]] = {side: [] for side in SIDES}
    facts = [fact.question for article in corpus for fact in article.facts]
    with ExitStack() as processes:
        async with AsyncExitStack() as clients:
            filling = deployment(settings, "shared")
            with worker(filling, STAGES):
                await ingest(await clients.enter_async_context(caller(filling)), corpus, label="corpus")
            sides = {}
            for side in SIDES:
                layout, engine = side
                home = _home(settings, side)
                home.mkdir()
                own = deployment(
                    settings, home.name, index=filling.index, query_segments=layout, engine=engine, home=home
                )
                processes.enter_context(injected(own, QUERY_STAGES, "timed"))
                sides[side] = await clients.enter_async_context(caller(own))
            for _ in range(0, WARM_UP, questions):
                for client in sides.values():
                    await one_turn(client, [facts[number % len(facts)] for number in range(questions)])
            for repeat in range(repeats):
                turn = [facts[(repeat * questions + number) % len(facts)] for number in range(questions)]
                for side, client in sides.items():
                    asked[side].append(await one_turn(client, turn))
    work = {side: spans(_home(settings, side) / SPANS_FILE) for side in SIDES}
    added = {
        side: [[(end - start - busy_ns(work[side], start, end)) / 1e6 for start, end in turn] for turn in turns]
        for side, turns in asked.items()
    }
    whole = {side: [[(end - start) / 1e6 for start, end in turn] for turn in turns] for side, turns in asked.items()}
    return added, whole


def _home(settings: Settings, side: Side) -> Path:
    layout, engine = side
    return settings.home / f"{LAYOUTS[layout]}-{engine}"


async def one_turn(client: Client, questions: Sequence[str]) -> list[Asked]:
    """Ask the questions, one after the other; when each began and ended."""
    asked = []
    for question in questions:
        start = time.perf_counter_ns()
        async for reply in client.ask(question):
            last = reply
        asked.append((start, time.perf_counter_ns()))
        if isinstance(last, QueryFailed):
            raise RuntimeError(f"{question!r} failed: {last}")
    return asked


if __name__ == "__main__":
    typer.run(main)
