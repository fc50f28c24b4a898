"""Memory of workers at rest and of the whole local stack, and how soon a worker consumes."""

import asyncio
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Annotated

import psutil
import typer

from benchmarks.corpus import Article, articles
from benchmarks.publishing import MEDIA_TYPE, caller, ingest
from benchmarks.results import RESULTS, Cores, Figure, Result, Results, Target, circumstances, hand_in
from benchmarks.rig import deployment, pin, stack, worker
from schemas import AnswerMode
from streams.client import Client
from streams.local import state
from streams.runtime.headers import Incoming
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
"""At rest: this long after the start, or after the last work."""
LIMIT_S = 300.0
MB = 1024 * 1024

METHOD = """\
One worker process per stage, one after the other, each with a record waiting in its topic: seconds from the start of
the process until its first output is on the next topic, and, less the time that the stage says it worked on that
record, until it had taken it: from then on it consumes. Memory is resident memory, of a process and its children. At
rest: 3 s after the start, with nothing to do yet; at rest again: 3 s after its first record. The stack is what
`headwater up` starts, workers included: all its processes after 12 documents and 12 questions, three of them answered
by the language model; memory that they share counts in each."""


@dataclass(frozen=True, slots=True)
class Start:
    """How a worker came up."""

    consuming_s: float
    """Until it had taken its first record."""
    first_output_s: float
    rss_bytes: int
    """At rest again."""


def main(
    repeats: Annotated[int, typer.Option(help="Starts of each worker.")] = 3,
    cores: Cores = 2,
    results: Results = RESULTS,
) -> None:
    """Resident memory, and seconds from start to consuming."""
    where = circumstances()
    pin(cores)
    starts: list[dict[str, Start]] = []
    idle: list[dict[str, int]] = []
    with stack() as settings:
        for article in articles(repeats, seed=6, sections=1, paragraphs=2):
            idle.append(at_rest(deployment(settings, f"idle-{article.name}")))
            starts.append(asyncio.run(asyncio.wait_for(start_each(settings, article), LIMIT_S)))
    with stack(workers=True) as settings:
        whole = asyncio.run(asyncio.wait_for(stack_memory(settings), LIMIT_S)) / MB
    figures = [*figures_of(starts, idle)]
    bound = Target(at="most", value=2500)
    figures.append(Figure(name="the whole local stack", unit="MB", samples=(whole,), target=bound))
    hand_in(Result("footprint", METHOD, tuple(figures), where, {"cores": cores}), results)


def figures_of(starts: Sequence[Mapping[str, Start]], idle: Sequence[Mapping[str, int]]) -> Iterator[Figure]:
    soon = Target(at="most", value=3)
    small = Target(at="most", value=150)
    for stage in SINKS:
        samples = tuple(turn[stage].consuming_s for turn in starts)
        yield Figure(name=f"start to consuming, `{stage}`", unit="s", samples=samples, target=soon)
    for stage in SINKS:
        samples = tuple(turn[stage].first_output_s for turn in starts)
        yield Figure(name=f"start to first output, `{stage}`", unit="s", samples=samples)
    for stage in SINKS:
        target = small if stage in WITHOUT_A_MODEL else None
        samples = tuple(turn[stage] / MB for turn in idle)
        yield Figure(name=f"worker at rest, `{stage}`", unit="MB", samples=samples, target=target)
    for stage in SINKS:
        samples = tuple(turn[stage].rss_bytes / MB for turn in starts)
        yield Figure(name=f"worker at rest again, `{stage}`", unit="MB", samples=samples)


def at_rest(settings: Settings) -> dict[str, int]:
    """By stage, the resident bytes of a worker that has nothing to do."""
    with ExitStack() as processes:
        idle = {stage: processes.enter_context(worker(settings, stage, wait=False)) for stage in SINKS}
        for running in idle.values():
            running.wait_ready()
        time.sleep(QUIET_S)
        return {stage: running.rss_bytes for stage, running in idle.items()}


async def start_each(settings: Settings, article: Article) -> dict[str, Start]:
    """Start a worker for each stage, in the order in which a document and a question pass them."""
    own = deployment(settings, article.name)
    async with caller(own) as client:
        await client.publish(article.name, article.text, media_type=MEDIA_TYPE)
        asking = asyncio.create_task(ask(client, article))
        measured = {stage: await start_one(own, stage) for stage in SINKS}
        await asking
    return measured


async def start_one(settings: Settings, stage: str) -> Start:
    """Start a worker for one stage and wait for its first output."""
    outputs: asyncio.Queue[Record] = asyncio.Queue()
    tail = Tail(settings.kafka_config, settings.topic_prefix + SINKS[stage])
    await tail.open()

    def on_records(records: Sequence[Record]) -> None:
        outputs.put_nowait(records[0])

    tail.follow(on_records)
    started = time.perf_counter()
    try:
        with worker(settings, stage, wait=False) as running:
            async with asyncio.timeout(60):
                record = await outputs.get()
            first_output_s = time.perf_counter() - started
            work_s = Incoming.of(record.headers).timings[stage] / 1000
            await asyncio.sleep(QUIET_S)
            return Start(first_output_s - work_s, first_output_s, running.rss_bytes)
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
