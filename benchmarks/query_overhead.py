"""What the pipeline adds to a question beyond the time of its models and its search."""

import asyncio
import statistics
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.bare_hop import bare_hops
from benchmarks.corpus import articles
from benchmarks.publishing import STAGES, caller, ingest
from benchmarks.results import RESULTS, Figure, Result, Target, circumstances, hand_in, percentile
from benchmarks.rig import SPANS_FILE, deployment, injected, pin, stack, worker
from benchmarks.timed import busy_ns, spans
from schemas import QueryFailed
from streams.client import Client
from streams.settings import Settings

QUERY_STAGES = "retrieve,rerank,generate"
TOPICS, FUSED = "retrieve|rerank|generate", "retrieve+rerank+generate"
LAYOUTS = {TOPICS: "topics", FUSED: "fused"}
TARGETS = {(TOPICS, 50): 12, (TOPICS, 95): 30, (FUSED, 50): 5}
DOCUMENTS = 12
WARM_UP = 150
"""A fresh broker takes about as many questions until its code is compiled."""
LIMIT_S = 600.0
Asked = tuple[int, int]

METHOD = """\
One caller asks one question after the other over 12 indexed documents (about 290 chunks) and reads the streamed
answer to its end. Everything is real: Kafka, int8 embedder, Milvus Lite, reranker, extractive answers; one worker
process hosts the three query stages. The worker writes down when its embedder, index, reranker and generator worked;
what is left of a question's time, from before it is sent until its final event is read, is the pipeline's. A bare
hop is one record from a bare producer to a bare consumer on the same broker, at the pace of the questions: a question
over topics takes four hops, a fused one two, and Kafka's threads take longer to wake up than to work."""


def main(
    questions: Annotated[int, typer.Option(help="Questions in each repeat.")] = 50,
    repeats: Annotated[int, typer.Option(help="Turns of each layout.")] = 4,
    cores: Annotated[int, typer.Option(help="Cores that everything shares.")] = 2,
    results: Annotated[Path, typer.Option(help="Where to leave the result.")] = RESULTS,
) -> None:
    """Milliseconds that the pipeline adds to a question."""
    where = circumstances()
    pin(cores)
    with stack() as settings:
        added, whole = asyncio.run(asyncio.wait_for(measure(settings, questions, repeats), LIMIT_S))
        pause_s = statistics.median(map(statistics.median, whole[FUSED])) / 1000
        floor = [bare_hops(deployment(settings, "topics"), questions, pause_s=pause_s) for _ in range(repeats)]
    samples = tuple(percentile(turn, 50) for turn in floor)
    figures = [Figure(name="one bare Kafka hop at that pace, p50", unit="ms", samples=samples)]
    for layout in LAYOUTS:
        for percent in (50, 95):
            bound = TARGETS.get((layout, percent))
            figures.append(
                Figure(
                    name=f"added to a question, p{percent}, `{layout}`",
                    unit="ms",
                    samples=tuple(percentile(turn, percent) for turn in added[layout]),
                    target=Target(at="most", value=bound) if bound else None,
                )
            )
        samples = tuple(percentile(turn, 50) for turn in whole[layout])
        figures.append(Figure(name=f"whole question, p50, `{layout}`", unit="ms", samples=samples))
    hand_in(Result("query_overhead", METHOD, tuple(figures), where, {"questions": questions, "cores": cores}), results)


async def measure(
    settings: Settings, questions: int, repeats: int
) -> tuple[dict[str, list[list[float]]], dict[str, list[list[float]]]]:
    """By layout and turn, for every question: milliseconds added by the pipeline, and milliseconds in all."""
    corpus = list(articles(DOCUMENTS, seed=4))
    asked: dict[str, list[list[Asked]]] = {layout: [] for layout in LAYOUTS}
    facts = [fact.question for article in corpus for fact in article.facts]
    with ExitStack() as processes:
        async with AsyncExitStack() as clients:
            filling = deployment(settings, "shared")
            with worker(filling, STAGES):
                await ingest(await clients.enter_async_context(caller(filling)), corpus, label="corpus")
            sides = {}
            for layout, name in LAYOUTS.items():
                (settings.home / name).mkdir()
                own = deployment(settings, name, index=filling.index, query_segments=layout, home=settings.home / name)
                processes.enter_context(injected(own, QUERY_STAGES, "timed"))
                sides[layout] = await clients.enter_async_context(caller(own))
                await one_turn(sides[layout], [facts[number % len(facts)] for number in range(WARM_UP)])
            for repeat in range(repeats):
                turn = [facts[(repeat * questions + number) % len(facts)] for number in range(questions)]
                for layout, client in sides.items():
                    asked[layout].append(await one_turn(client, turn))
    work = {layout: spans(settings.home / name / SPANS_FILE) for layout, name in LAYOUTS.items()}
    added = {
        layout: [[(end - start - busy_ns(work[layout], start, end)) / 1e6 for start, end in turn] for turn in turns]
        for layout, turns in asked.items()
    }
    whole = {
        layout: [[(end - start) / 1e6 for start, end in turn] for turn in turns] for layout, turns in asked.items()
    }
    return added, whole


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
