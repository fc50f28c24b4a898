"""The Milvus adapter against bare pymilvus: same server, same calls, as many in flight."""

import asyncio
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.corpus import articles
from benchmarks.recorded import Recorder
from benchmarks.results import RESULTS, Cores, Figure, Result, Results, Target, circumstances, hand_in
from benchmarks.rig import TETHER, pin
from processors.backends.milvus.index import MilvusIndex
from processors.conformance.documents import HashedWords, embedded, head, slices
from processors.ports import Search
from schemas import ChunksEmbedded, Tenant
from streams.local.listeners import free_ports
from streams.local.milvus import answers, vector_store
from streams.settings import LocalStack, Settings
from tests.servers import milvus as real

DIMENSIONS = 384
LIMIT = 20
IN_FLIGHT = 8
WARM_UP = 1
LIMIT_S = 240.0
TARGET = Target(at="least", value=0.95)

METHOD = """\
What the adapter asks a server to do is recorded, and a bare loop over pymilvus' AsyncMilvusClient does the same again
on collections of the same form: upserts of rows that are ready made, and searches whose requests are. So the ratio is
what the adapter's own work costs: rows and filters, checks, one version of each document, ranking. Both sides take
turns, eight documents or questions at a time, on the same server and cores; on Milvus Lite, which does not promise
more than one writer, both write one after the other. A document is its slices of 64
chunks and its head; a search is the hybrid search (on 2.3: by vector) and the look at the heads of what it found."""

Act = Callable[[], Awaitable[object]]


def main(
    documents: Annotated[int, typer.Option(help="Documents of about 24 chunks in each turn.")] = 16,
    searches: Annotated[int, typer.Option(help="Searches in each turn.")] = 32,
    repeats: Annotated[int, typer.Option(help="Turns of each side.")] = 7,
    cores: Cores = 2,
    results: Results = RESULTS,
) -> None:
    """Throughput of the adapter over that of bare pymilvus."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # so that servers and folders go
    where = circumstances()
    pin(cores)
    load = Load(documents, searches)
    figures: list[Figure] = []
    with milvus_lite() as url:
        figures += asyncio.run(asyncio.wait_for(measure("Milvus Lite", url, load, repeats), LIMIT_S))
    parameters: dict[str, int | str] = {"documents": documents, "searches": searches, "in flight": IN_FLIGHT}
    if reason := real.missing():
        parameters["Milvus standalone"] = reason
    else:
        with real.standalone() as server:
            url = server.index_url("")
            figures += asyncio.run(asyncio.wait_for(measure("Milvus standalone", url, load, repeats), LIMIT_S))
    hand_in(Result("milvus_ratio", METHOD, tuple(figures), where, parameters | {"cores": cores}), results)


class Load:
    """What both sides do in a turn."""

    def __init__(self, documents: int, searches: int) -> None:
        self._corpus = list(articles(documents, seed=5))
        self._searches = searches
        self.counts = {"documents": documents, "searches": searches}
        self._words = HashedWords(dimensions=DIMENSIONS)

    async def documents(self, turn: int) -> list[Sequence[ChunksEmbedded]]:
        """Slices by document; new documents in every turn."""
        return [
            [
                await embedded(event, self._words)
                for event in slices(article.paragraphs, document_id=f"{article.name}-{turn}")
            ]
            for article in self._corpus
        ]

    async def searches(self) -> list[Search]:
        facts = [fact for article in self._corpus for fact in article.facts]
        questions = [facts[i * len(facts) // self._searches].question for i in range(self._searches)]
        vectors = await self._words.embed(questions, role="query")
        model = self._words.model
        return [
            Search(tenant=Tenant("acme"), text=question, vector=vector, model=model, limit=LIMIT)
            for question, vector in zip(questions, vectors, strict=True)
        ]


async def measure(server: str, url: str, load: Load, repeats: int) -> list[Figure]:
    """Ratios and rates of documents written and of searches."""
    ours, twin = MilvusIndex(f"{url}adapter"), MilvusIndex(f"{url}bare")
    taken: dict[str, list[tuple[float, ...]]] = {"documents": [], "searches": []}
    async with AsyncExitStack() as open_indexes:
        for index in (ours, twin):
            await index.open()
            open_indexes.push_async_callback(index.close)
            for document in await load.documents(0):
                await publish(index, document)
        bare = Recorder(twin)
        for turn in range(1, 1 + WARM_UP + repeats):
            documents = await load.documents(turn)
            writing = [partial(publish, ours, document) for document in documents]
            recorded = [await bare.record(partial(publish, twin, document)) for document in documents]
            taken["documents"].append(await turns(writing, [partial(bare.replay, each) for each in recorded]))
            questions = await load.searches()
            searching = [partial(ours.search, question) for question in questions]
            for index in (ours, twin):
                await index.sweep()  # as a worker does now and then: Milvus Lite reads what is not flushed in Python
            for search in searching:  # recording, too, makes a server build what it needs for its first searches
                await search()
            recorded = [await bare.record(partial(twin.search, question)) for question in questions]
            taken["searches"].append(await turns(searching, [partial(bare.replay, each) for each in recorded]))
    return [figure for what, seconds in taken.items() for figure in figures_of(server, what, seconds[WARM_UP:], load)]


async def publish(index: MilvusIndex, document: Sequence[ChunksEmbedded]) -> None:
    for event in document:
        await index.write(event)
    await index.flip(head(document[-1], flipped_at=datetime.now(UTC)))


async def turns(*sides: Sequence[Act]) -> tuple[float, ...]:
    """Seconds of each side, in small pieces by turns, so that what else the machine does meets both alike."""
    seconds = [0.0 for _ in sides]
    for start in range(0, len(sides[0]), IN_FLIGHT):
        for side in random.sample(range(len(sides)), len(sides)):
            started = time.perf_counter()
            await asyncio.gather(*(act() for act in sides[side][start : start + IN_FLIGHT]))
            seconds[side] += time.perf_counter() - started
    return tuple(seconds)


def figures_of(server: str, what: str, seconds: Sequence[tuple[float, ...]], load: Load) -> list[Figure]:
    count = load.counts[what]
    return [
        Figure(
            name=f"adapter over bare pymilvus, {what}, {server}",
            unit="x",
            samples=tuple(bare / ours for ours, bare in seconds),
            target=TARGET,
        ),
        Figure(
            name=f"{what}/s of the adapter, {server}", unit="1/s", samples=tuple(count / ours for ours, _ in seconds)
        ),
    ]


@contextmanager
def milvus_lite() -> Iterator[str]:
    """URL of a Milvus Lite of one's own, up to the collection."""
    with tempfile.TemporaryDirectory(prefix="headwater-bench-", ignore_cleanup_errors=True) as home:
        [port] = free_ports(1)
        part = vector_store(Settings(home=Path(home), local=LocalStack(milvus_port=port)))
        assert part.prepare
        assert part.command
        part.prepare()
        command = [sys.executable, TETHER, str(os.getpid()), *part.command()]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            try:
                while not answers(f"127.0.0.1:{port}"):
                    if process.poll() is not None:
                        raise RuntimeError("Milvus Lite ended")
                    time.sleep(0.05)
                yield f"milvus+http://127.0.0.1:{port}/"
            finally:
                process.terminate()


if __name__ == "__main__":
    typer.run(main)
