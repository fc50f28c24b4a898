"""The TEI adapter against a bare httpx loop: same server, same lists, as many in flight."""

import asyncio
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Annotated

import httpx
import numpy as np
import orjson
import typer

from benchmarks.corpus import articles
from benchmarks.results import RESULTS, Cores, Figure, Result, Results, Target, circumstances, hand_in
from benchmarks.rig import pin
from processors.backends.tei.ports import TeiEmbedder
from tests.servers.tei.process import tei

BATCH = 32
INSTANT_LISTS = 160
"""Half a second's work."""
LIMIT_S = 280.0
TARGET = Target(at="least", value=0.95)

METHOD = """\
Both sides send the same lists of 32 paragraphs to the same server with as many in flight, in turns, and end with
float32 vectors in numpy. The bare loop is httpx and orjson and nothing else: it neither counts permits nor looks at
what it got. Both get lists that are sorted by length, which saves the server padding, and which the adapter would
otherwise do by itself. First against the stand-in for text-embeddings-inference, a process of its own that computes
MiniLM on the same cores; then against a server that answers at once with vectors of 384 dimensions, where a client's
own cost is all there is: no real server is as fast."""

Batches = Sequence[Sequence[str]]
Embed = Callable[[Sequence[str]], Awaitable[object]]


def main(
    lists: Annotated[int, typer.Option(help="Lists of 32 in each repeat for the server that computes.")] = 8,
    in_flight: Annotated[int, typer.Option(help="Lists in flight.")] = 4,
    repeats: Annotated[int, typer.Option(help="Turns of each side.")] = 7,
    cores: Cores = 2,
    results: Results = RESULTS,
) -> None:
    """Throughput of the adapter over that of a bare loop."""
    where = circumstances()
    pin(cores)
    with tei("--threads", str(cores)) as server:
        real = asyncio.run(measure(server.url, paragraphs(lists), in_flight, repeats))
    with instant_tei() as url:
        floor = asyncio.run(measure(url, paragraphs(INSTANT_LISTS), in_flight, repeats))
    figures = [*figures_of("a server that computes", real, TARGET), *figures_of("a server that answers at once", floor)]
    parameters = {"lists": lists, "lists at once": INSTANT_LISTS, "in flight": in_flight, "cores": cores}
    hand_in(Result("tei_ratio", METHOD, tuple(figures), where, parameters), results)


def figures_of(server: str, found: Sequence[tuple[float, float]], target: Target | None = None) -> list[Figure]:
    return [
        Figure(
            name=f"adapter over bare loop, {server}",
            unit="",
            samples=tuple(adapter / bare for bare, adapter in found),
            target=target,
        ),
        Figure(name=f"texts/s of the adapter, {server}", unit="1/s", samples=tuple(each for _, each in found)),
    ]


async def measure(url: str, batches: Batches, in_flight: int, repeats: int) -> list[tuple[float, float]]:
    """Texts per second of the bare loop and of the adapter, in turns."""
    limits = httpx.Limits(max_connections=in_flight)
    embedder = TeiEmbedder(f"tei+{url}")
    async with asyncio.timeout(LIMIT_S), httpx.AsyncClient(base_url=url, limits=limits, timeout=60) as client:
        await embedder.open()

        async def bare(texts: Sequence[str]) -> object:
            response = await client.post("/embed", json={"inputs": texts, "truncate": True})
            return np.asarray(orjson.loads(response.content), np.float32)

        async def adapter(texts: Sequence[str]) -> object:
            return await embedder.embed(texts, role="passage")

        try:
            for embed in (bare, adapter):
                await texts_per_s(embed, batches[: max(1, len(batches) // 4)], in_flight)  # warm-up
            return [
                (await texts_per_s(bare, batches, in_flight), await texts_per_s(adapter, batches, in_flight))
                for _ in range(repeats)
            ]
        finally:
            await embedder.close()


async def texts_per_s(embed: Embed, batches: Batches, in_flight: int) -> float:
    waiting = iter(batches)

    async def work() -> None:
        for texts in waiting:
            await embed(texts)

    started = time.perf_counter()
    await asyncio.gather(*(work() for _ in range(in_flight)))
    return sum(map(len, batches)) / (time.perf_counter() - started)


def paragraphs(lists: int) -> list[list[str]]:
    """Paragraphs that fit the model's longest input, as the ports get them: what they cut would cost only one side."""
    texts = (
        paragraph for article in articles(10_000, seed=5) for paragraph in article.paragraphs if len(paragraph) < 600
    )
    return [sorted(islice(texts, BATCH), key=len) for _ in range(lists)]


@contextmanager
def instant_tei() -> Iterator[str]:
    """The address of a server that answers at once."""
    command = [sys.executable, "-m", "benchmarks.instant_tei"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            yield process.stdout.readline().strip()
        finally:
            process.kill()


if __name__ == "__main__":
    typer.run(main)
