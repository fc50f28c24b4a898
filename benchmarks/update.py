"""A changed line in a document of 1,000 chunks: what is embedded again, and from when a search finds it."""

import asyncio
import time
from contextlib import AsyncExitStack, ExitStack
from typing import Annotated

import typer

from benchmarks.corpus import articles
from benchmarks.publishing import LAYOUTS, MEDIA_TYPE, STAGES, caller
from benchmarks.results import RESULTS, Cores, Figure, Result, Results, Target, circumstances, hand_in
from benchmarks.rig import deployment, pin, stack, worker
from benchmarks.searching import searcher
from schemas import DocumentIndexed
from streams.composition import Backends
from streams.settings import Settings

LIMIT_S = 600.0

METHOD = """\
One Markdown document of about 1,000 chunks (a claim check: it is over 512 KB) is indexed by the whole pipeline on
real parts; then a sentence is added to one of its paragraphs, each time elsewhere, and the new version published.
Time runs from before the event is sent until its receipt is there; a search that starts then must find the new
sentence, or the run fails."""


def main(
    sections: Annotated[int, typer.Option(help="Sections of about four chunks each.")] = 207,
    edits: Annotated[int, typer.Option(help="New versions, each with one changed line.")] = 5,
    cores: Cores = 2,
    results: Results = RESULTS,
) -> None:
    """Chunks embedded again, and seconds until searchable, after a changed line."""
    where = circumstances()
    pin(cores)
    with stack() as settings:
        chunks, samples = asyncio.run(asyncio.wait_for(measure(settings, sections, edits), LIMIT_S))
    figures = []
    for layout, turns in samples.items():
        embedded, seconds = zip(*turns, strict=True)
        figures += [
            Figure(
                name=f"chunks embedded again, `{layout}`",
                unit="chunks",
                samples=tuple(map(float, embedded)),
                target=Target(at="most", value=3),
            ),
            Figure(
                name=f"changed line searchable, `{layout}`",
                unit="s",
                samples=seconds,
                target=Target(at="most", value=2),
            ),
        ]
    hand_in(Result("update", METHOD, tuple(figures), where, {"chunks": chunks, "cores": cores}), results)


async def measure(settings: Settings, sections: int, edits: int) -> tuple[int, dict[str, list[tuple[int, float]]]]:
    """Chunks of the document; by layout, for each edit, the chunks embedded and the seconds until found."""
    samples: dict[str, list[tuple[int, float]]] = {layout: [] for layout in LAYOUTS}
    article = next(articles(1, seed=3, sections=sections))
    bodies = [at for at, text in enumerate(article.paragraphs) if not text.startswith("#")]
    with ExitStack() as processes:
        async with AsyncExitStack() as opened:
            sides = {}
            for layout, name in LAYOUTS.items():
                own = deployment(settings, name, ingest_segments=layout)
                processes.enter_context(worker(own, STAGES))
                client = await opened.enter_async_context(caller(own))
                search = await opened.enter_async_context(searcher(own, Backends(own).embedder))
                first = await client.publish(article.name, article.text, media_type=MEDIA_TYPE)
                receipt = await client.receipt(first, timeout_s=LIMIT_S)
                sides[layout] = client, search
            for number in range(edits):
                sentence = f"The Zubrovka {number} Viaduct was reopened by Quillfeather."
                changed = bodies[(2 * number + 1) * len(bodies) // (2 * edits)]
                article = article.edited(changed, sentence)
                for layout, (client, search) in sides.items():
                    started = time.perf_counter()
                    event = await client.publish(article.name, article.text, media_type=MEDIA_TYPE)
                    receipt = await client.receipt(event)
                    seconds = time.perf_counter() - started
                    await search.find(sentence, article.paragraphs[changed], article.name)
                    if not isinstance(receipt, DocumentIndexed):
                        raise RuntimeError(f"not indexed: {receipt}")
                    samples[layout].append((receipt.embedded, seconds))
    assert isinstance(receipt, DocumentIndexed)
    return receipt.chunks, samples


if __name__ == "__main__":
    typer.run(main)
