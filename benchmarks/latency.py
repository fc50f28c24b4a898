"""From a document's event to the moment from which a search finds it, at two documents a second."""

import asyncio
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack, ExitStack
from typing import Annotated

import typer

from benchmarks.corpus import Article, articles
from benchmarks.publishing import LAYOUTS, MEDIA_TYPE, STAGES, caller, ingest
from benchmarks.results import RESULTS, Cores, Figure, Result, Results, Target, circumstances, hand_in, percentile
from benchmarks.rig import deployment, injected, pin, stack
from benchmarks.searching import Searcher, searcher
from benchmarks.substitutes import WordsEmbedder
from streams.client import Client
from streams.settings import Settings

EVERY_S = 0.5
LIMIT_S = 600.0

METHOD = """\
Documents of one paragraph, two a second, through one worker with all ingest stages; parser, Kafka and Milvus Lite are
real, the embedder adds up a vector per word from a table. Time runs from before the event is sent until its receipt is
there; a search (dense and BM25 in one) that starts then must find the document, or the run fails."""


def main(
    documents: Annotated[int, typer.Option(help="Documents in each repeat.")] = 40,
    repeats: Annotated[int, typer.Option(help="Turns of each layout.")] = 3,
    cores: Cores = 2,
    results: Results = RESULTS,
) -> None:
    """Milliseconds from event to searchable, with a stub embedder."""
    where = circumstances()
    pin(cores)
    with stack() as settings:
        samples = asyncio.run(asyncio.wait_for(measure(settings, documents, repeats), LIMIT_S))
    figures = [
        Figure(
            name=f"event to searchable, p{percent}, `{layout}`",
            unit="ms",
            samples=tuple(percentile(turn, percent) for turn in turns),
            target=Target(at="most", value=bound),
        )
        for layout, turns in samples.items()
        for percent, bound in ((50, 60), (95, 120))
    ]
    hand_in(Result("latency", METHOD, tuple(figures), where, {"documents": documents, "cores": cores}), results)


async def measure(settings: Settings, documents: int, repeats: int) -> dict[str, list[list[float]]]:
    """Milliseconds of every document, by layout and turn."""
    turns: dict[str, list[list[float]]] = {layout: [] for layout in LAYOUTS}
    with ExitStack() as processes:
        async with AsyncExitStack() as opened:
            sides = {}
            for layout, name in LAYOUTS.items():
                own = deployment(settings, name, ingest_segments=layout)
                processes.enter_context(injected(own, STAGES, "stub-embedder"))
                client = await opened.enter_async_context(caller(own))
                await ingest(client, articles(3, seed=99), label="warm-up")
                sides[layout] = client, await opened.enter_async_context(searcher(own, WordsEmbedder()))
            for repeat in range(repeats):
                corpus = list(articles(documents, seed=repeat, sections=1, paragraphs=1))
                for layout, (client, search) in sides.items():
                    turns[layout].append(await one_turn(client, search, corpus))
    return turns


async def one_turn(client: Client, search: Searcher, corpus: Sequence[Article]) -> list[float]:
    """Publish at a steady rate; milliseconds until each document was searchable."""
    took = []
    begun = time.perf_counter()
    for number, article in enumerate(corpus):
        await asyncio.sleep(max(0.0, begun + number * EVERY_S - time.perf_counter()))
        started = time.perf_counter()
        event = await client.publish(article.name, article.text, media_type=MEDIA_TYPE, title=article.title)
        await client.receipt(event)
        took.append((time.perf_counter() - started) * 1000)
        await search.find(article.facts[0].sentence, article.paragraphs[-1], article.name)
    return took


if __name__ == "__main__":
    typer.run(main)
