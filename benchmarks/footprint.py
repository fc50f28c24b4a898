"""Memory of workers at rest and of the whole local stack, and how soon a worker consumes."""

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import psutil
import typer

from benchmarks.corpus import Article, articles
from benchmarks.publishing import MEDIA_TYPE, caller, ingest
from benchmarks.results import RESULTS, Figure, Result, Target, circumstances, hand_in
from benchmarks.rig import deployment, pin, stack, worker
from schemas import AnswerMode
from streams.client import Client
from streams.local import state
from streams.runtime.records import Record
from streams.settings import Settings
from streams.tail import Tail
from streams.topics import ANSWERS, CANDIDATES, CHUNKS, EVIDENCE, RECEIPTS, VECTORS

SINKS = {
    "chunk": CHUNKS.name,
    "embed": VECTORS.name,
    "upsert": RECEIPTS.name,
    "retrieve": CANDIDATES.name,
    "rerank": EVIDENCE.name,
    "generate": ANSWERS.name,
}
WITHOUT_A_MODEL = ("chunk", "upsert")
QUIET_S = 3.0
"""At rest: this long after its first record."""
LIMIT_S = 300.0
MB = 1024 * 1024

METHOD = """\
One worker process per stage, one after the other, each with a record waiting in its topic: seconds from the start of
the process until its output for that record is on the next topic (so the stage's own work is part of the figure, the
model's included), and the resident memory of the process and its children 3 s later. The stack is what `headwater up`
starts, workers included: the resident memory of all its processes after 12 documents and 12 questions, three of them
answered by the language model."""


def main(
    repeats: Annotated[int, typer.Option(help="Starts of each worker.")] = 3,
    cores: Annotated[int, typer.Option(help="Cores that everything shares.")] = 2,
    results: Annotated[Path, typer.Option(help="Where to leave the result.")] = RESULTS,
) -> None:
    """Resident memory, and seconds from start to consuming."""
    where = circumstances()
    pin(cores)
    seconds: dict[str, list[float]] = {stage: [] for stage in SINKS}
    memory: dict[str, list[float]] = {stage: [] for stage in SINKS}
    with stack() as settings:
        for article in articles(repeats, seed=6, sections=1, paragraphs=2):
            for stage, took, rss in asyncio.run(asyncio.wait_for(starts(settings, article), LIMIT_S)):
                seconds[stage].append(took)
                memory[stage].append(rss / MB)
    with stack(workers=True) as settings:
        whole = asyncio.run(asyncio.wait_for(stack_memory(settings), LIMIT_S)) / MB
    figures = [
        Figure(
            name=f"start to first output, `{stage}`",
            unit="s",
            samples=tuple(seconds[stage]),
            target=Target(at="most", value=3),
        )
        for stage in SINKS
    ]
    for stage in SINKS:
        target = Target(at="most", value=150) if stage in WITHOUT_A_MODEL else None
        figures.append(
            Figure(name=f"worker at rest, `{stage}`", unit="MB", samples=tuple(memory[stage]), target=target)
        )
    bound = Target(at="most", value=2500)
    figures.append(Figure(name="the whole local stack", unit="MB", samples=(whole,), target=bound))
    hand_in(Result("footprint", METHOD, tuple(figures), where, {"cores": cores}), results)


async def starts(settings: Settings, article: Article) -> list[tuple[str, float, int]]:
    """Each stage, seconds from its worker's start to its first output, and the memory in bytes of it at rest."""
    name = article.name
    own = deployment(settings, name)
    async with caller(own) as client:
        await client.publish(name, article.text, media_type=MEDIA_TYPE)
        asking = asyncio.create_task(ask(client, article))
        measured = [(stage, *await one_start(own, stage)) for stage in SINKS]
        await asking
    return measured


async def one_start(settings: Settings, stage: str) -> tuple[float, int]:
    """Start a worker for one stage and wait for its first output."""
    written = asyncio.Event()
    tail = Tail(settings.kafka_config, settings.topic_prefix + SINKS[stage])
    await tail.open()

    def on_records(_: Sequence[Record]) -> None:
        written.set()

    tail.follow(on_records)
    started = time.perf_counter()
    try:
        with worker(settings, stage, wait=False) as running:
            async with asyncio.timeout(60):
                await written.wait()
            took = time.perf_counter() - started
            await asyncio.sleep(QUIET_S)
            return took, running.rss_bytes
    finally:
        await tail.close()


async def ask(client: Client, article: Article) -> None:
    async for _ in client.ask(article.facts[0].question, deadline_s=LIMIT_S):
        pass


async def stack_memory(settings: Settings) -> int:
    """Resident bytes of the supervisor and everything below it, after some work."""
    corpus = list(articles(12, seed=7))
    async with caller(settings) as client:
        await ingest(client, corpus, label="corpus")
        for number, article in enumerate(corpus):
            mode: AnswerMode = "generative" if number < 3 else "extractive"
            await client.answer(article.facts[0].question, mode=mode)
    await asyncio.sleep(QUIET_S)
    running = state.read(settings.home)
    assert running is not None
    supervisor = psutil.Process(running.pid)
    return sum(process.memory_info().rss for process in (supervisor, *supervisor.children(recursive=True)))


if __name__ == "__main__":
    typer.run(main)
