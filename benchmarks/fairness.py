"""One tenant's document amid another's import of 10,000, in units of what it takes on an idle pipeline."""

import asyncio
import statistics
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack, ExitStack
from typing import Annotated

import typer
from opentelemetry.trace import NoOpTracer

from benchmarks.corpus import Article, articles
from benchmarks.publishing import MEDIA_TYPE, STAGES, caller, event
from benchmarks.results import RESULTS, Cores, Figure, Result, Results, Target, circumstances, hand_in
from benchmarks.rig import deployment, pin, stack, worker
from schemas import DocumentIndexed
from streams.client import Client
from streams.lag import lags
from streams.sender import Sender
from streams.settings import Settings
from streams.topics import DOCUMENTS

LIMIT_S = 600.0
ENGINES = ["faust", "confluent"]
LAYOUT = "chunk|embed|upsert"
IDLE = 10
AMID = 10
"""Documents of the other tenant, one after the other, while the import is under way."""
PAUSE_S = 0.5
AT_ONCE = 500

METHOD = """\
Tenant A publishes small documents as fast as the broker takes them; in their middle, tenant B publishes one, waits for
its receipt, publishes the next, and so on, while A's other half follows. Everything is real: Kafka, parser, int8
embedder, Milvus Lite, one worker with all stages in segments of their own. The unit is the median of what the same
documents took before, with nothing else under way. A run in which the import ended first does not count."""


def main(
    documents: Annotated[int, typer.Option(help="Documents of the import.")] = 10_000,
    engines: Annotated[list[str], typer.Option("--engine", help="What reads the topics.")] = ENGINES,
    cores: Cores = 2,
    results: Results = RESULTS,
) -> None:
    """How many times its own time a document takes amid another tenant's import."""
    where = circumstances()
    pin(cores)
    figures = []
    with stack() as settings:
        for engine in engines:
            idle, amid = asyncio.run(asyncio.wait_for(measure(settings, documents, engine), LIMIT_S))
            unit = statistics.median(idle)
            figures += [
                Figure(
                    name=f"amid the import, in its own time, `{engine}`",
                    unit="x",
                    samples=tuple(each / unit for each in amid),
                    target=Target(at="most", value=5.0),
                ),
                Figure(name=f"amid the import, `{engine}`", unit="ms", samples=tuple(each * 1000 for each in amid)),
                Figure(name=f"nothing else, `{engine}`", unit="ms", samples=tuple(each * 1000 for each in idle)),
            ]
    hand_in(Result("fairness", METHOD, tuple(figures), where, {"documents": documents, "cores": cores}), results)


async def measure(settings: Settings, documents: int, engine: str) -> tuple[list[float], list[float]]:
    """Seconds of each of B's documents: before the import, and amid it."""
    own = deployment(settings, f"fairness_{engine}", ingest_segments=LAYOUT, engine=engine)
    single = list(articles(IDLE + AMID + 1, seed=5, sections=1, paragraphs=1))
    imported = list(articles(documents, seed=6, sections=1, paragraphs=1))
    with ExitStack() as processes:
        processes.enter_context(worker(own, STAGES))
        async with AsyncExitStack() as opened:
            client = await opened.enter_async_context(caller(own))
            sender = Sender(own)
            await sender.open(NoOpTracer())
            opened.push_async_callback(sender.close)
            idle = [await one(client, article) for article in single[: IDLE + 1]][1:]
            await publish(sender, imported[: documents // 2])
            rest = asyncio.create_task(publish(sender, imported[documents // 2 :]))
            amid = []
            for article in single[IDLE + 1 :]:
                amid.append(await one(client, article))
                await asyncio.sleep(PAUSE_S)
            await rest
            waiting = await asyncio.to_thread(lags, own)
            if not (waiting and waiting["embed"]):
                raise RuntimeError("the import was over before the measurement was: give it more documents")
    return idle, amid


async def one(client: Client, article: Article) -> float:
    """Seconds from before the event is sent until its receipt is there."""
    started = time.perf_counter()
    sent = await client.publish(article.name, article.text, tenant="b", media_type=MEDIA_TYPE, title=article.title)
    receipt = await client.receipt(sent, timeout_s=LIMIT_S)
    if not isinstance(receipt, DocumentIndexed):
        raise RuntimeError(f"not a new document: {receipt}")
    return time.perf_counter() - started


async def publish(sender: Sender, imported: Sequence[Article]) -> None:
    """Send an import's documents, and wait for none of them."""
    for first in range(0, len(imported), AT_ONCE):
        await asyncio.gather(
            *(sender.send(DOCUMENTS, event(each, tenant="a")) for each in imported[first : first + AT_ONCE])
        )


if __name__ == "__main__":
    typer.run(main)
