"""CPU that the pipeline itself takes: parser, embedder and store cost nothing here."""

import asyncio
from contextlib import AsyncExitStack, ExitStack
from typing import Annotated

import typer

from benchmarks.corpus import articles
from benchmarks.publishing import LAYOUTS, STAGES, caller, ingest
from benchmarks.results import RESULTS, Cores, Figure, Result, Results, Target, circumstances, hand_in
from benchmarks.rig import deployment, injected, pin, stack
from streams.settings import Settings

LIMIT_S = 600.0
WARM_UP = 10
TARGETS = {"chunk|embed+upsert": 0.25, "chunk|embed|upsert": 0.5}

METHOD = """\
One worker process with all ingest stages, on real Kafka, with a parser that splits at blank lines, an embedder that
looks vectors up in a table, and an index that counts; runtime, chunking, wire format, receipts and tracing are the
worker's own. CPU-seconds (user and system) of the worker from before the first event to after the last receipt, per
1,000 chunks; the start is apart. For comparison, measured elsewhere without topics, versions or traces: a bare loop
0.05, Haystack 0.21, LangChain 0.22, LlamaIndex 0.30."""


def main(
    documents: Annotated[int, typer.Option(help="Documents of about 24 chunks in each repeat.")] = 200,
    repeats: Annotated[int, typer.Option(help="Turns of each layout.")] = 5,
    cores: Cores = 2,
    results: Results = RESULTS,
) -> None:
    """CPU-seconds of the worker per 1,000 chunks."""
    where = circumstances()
    pin(cores)
    with stack() as settings:
        cost, start = asyncio.run(asyncio.wait_for(measure(settings, documents, repeats), LIMIT_S))
    figures = [
        Figure(
            name=f"CPU per 1,000 chunks, `{layout}`",
            unit="CPU-s",
            samples=tuple(cost[layout]),
            target=Target(at="most", value=bound),
        )
        for layout, bound in TARGETS.items()
    ]
    figures.append(Figure(name="CPU of a worker's start", unit="CPU-s", samples=tuple(start)))
    hand_in(Result("own_cost", METHOD, tuple(figures), where, {"documents": documents, "cores": cores}), results)


async def measure(settings: Settings, documents: int, repeats: int) -> tuple[dict[str, list[float]], list[float]]:
    """CPU-seconds per 1,000 chunks by layout and turn, and of each start."""
    corpus = list(articles(documents, seed=2))
    cost: dict[str, list[float]] = {layout: [] for layout in LAYOUTS}
    start = []
    with ExitStack() as processes:
        async with AsyncExitStack() as clients:
            sides = {}
            for layout, name in LAYOUTS.items():
                own = deployment(settings, name, ingest_segments=layout)
                running = processes.enter_context(injected(own, STAGES, "free"))
                start.append(running.cpu_s)
                sides[layout] = running, await clients.enter_async_context(caller(own))
                await ingest(sides[layout][1], corpus[:WARM_UP], label="warm-up")
            for repeat in range(repeats):
                for layout, (running, client) in sides.items():
                    before = running.cpu_s
                    done = await ingest(client, corpus, label=f"repeat-{repeat}")
                    cost[layout].append((running.cpu_s - before) / done.chunks * 1000)
    return cost, start


if __name__ == "__main__":
    typer.run(main)
