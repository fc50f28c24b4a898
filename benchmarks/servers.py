"""The whole pipeline on the servers that users run, and what a document and a question take there."""

import asyncio
import time
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Annotated

import typer

from benchmarks.corpus import Article, articles
from benchmarks.publishing import STAGES, caller, ingest
from benchmarks.results import RESULTS, Cores, Figure, Result, Results, circumstances, hand_in
from benchmarks.rig import pin, stack, worker
from schemas import AnswerCompleted, AnswerDelta, AnswerMode
from streams.client import Client
from tests.servers.deployment import missing, real_servers

QUERY_STAGES = "retrieve,rerank,generate"
LIMIT_S = 270.0
WARM_UP = 2

METHOD = """\
End to end with real Kafka and the pipeline unchanged but for settings: a stand-in for text-embeddings-inference embeds
and reranks by MiniLM, a real Milvus 2.3.5 standalone stores and a real Triton generates (SmolLM2 behind its vLLM
dialect). Documents are published at once until the last receipt; then questions one after the other, extractive and
generative. Workers and servers all share the same cores, so the figures show that it works, not what servers of
one's own can do."""


def main(
    documents: Annotated[int, typer.Option(help="Documents of about 24 chunks in each repeat.")] = 4,
    questions: Annotated[int, typer.Option(help="Questions of each kind.")] = 6,
    repeats: Annotated[int, typer.Option(help="Rounds of documents.")] = 3,
    cores: Cores = 2,
    results: Results = RESULTS,
) -> None:
    """Chunks per second and seconds per question on real servers."""
    where = circumstances()
    if lacking := missing():
        hand_in(Result("servers", f"Not measured: {lacking}.", (), where), results)
        return
    pin(cores)
    with ExitStack() as running:
        settings = running.enter_context(real_servers(running.enter_context(stack()), "servers"))
        for stages in (STAGES, QUERY_STAGES):
            running.enter_context(worker(settings, stages))

        async def measured() -> list[Figure]:
            async with caller(settings) as client, asyncio.timeout(LIMIT_S):
                return [*await ingested(client, documents, repeats), *await asked(client, documents, questions)]

        figures = asyncio.run(measured())
    parameters = {"documents": documents, "questions": questions, "cores": cores}
    hand_in(Result("servers", METHOD, tuple(figures), where, parameters), results)


def corpus(documents: int) -> list[Article]:
    return list(articles(documents, seed=7))


async def ingested(client: Client, documents: int, repeats: int) -> list[Figure]:
    await ingest(client, corpus(WARM_UP), label="warm-up")
    rounds = [await ingest(client, corpus(documents), label=f"round-{number}") for number in range(repeats)]
    rates = tuple(each.chunks / each.seconds for each in rounds)
    return [Figure(name="chunks from event to searchable", unit="chunks/s", samples=rates)]


async def asked(client: Client, documents: int, questions: int) -> list[Figure]:
    facts = [fact.question for article in corpus(documents) for fact in article.facts]
    some = [facts[number * len(facts) // (questions + WARM_UP)] for number in range(questions + WARM_UP)]
    figures = []
    modes: tuple[AnswerMode, ...] = ("extractive", "generative")
    for mode in modes:
        taken = [await answered(client, question, mode) for question in some][WARM_UP:]
        figures += [
            Figure(name=f"question to first words, {mode}", unit="ms", samples=_ms([first for first, _ in taken])),
            Figure(name=f"question to last word, {mode}", unit="ms", samples=_ms([last for _, last in taken])),
        ]
    return figures


async def answered(client: Client, question: str, mode: AnswerMode) -> tuple[float, float]:
    """Seconds until the first words and until the whole answer."""
    started = time.perf_counter()
    first = 0.0
    async for reply in client.ask(question, mode=mode):
        if isinstance(reply, AnswerDelta):
            first = first or time.perf_counter() - started
    if not isinstance(reply, AnswerCompleted):
        raise RuntimeError(f"{question!r} got no answer: {reply}")
    return first, time.perf_counter() - started


def _ms(seconds: Sequence[float]) -> tuple[float, ...]:
    return tuple(1000 * each for each in seconds)


if __name__ == "__main__":
    typer.run(main)
