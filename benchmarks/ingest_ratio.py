"""Ingest through the whole pipeline against the same embedder in a bare loop, on the same cores."""

import asyncio
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack, ExitStack, contextmanager
from typing import Annotated

import orjson
import typer

from benchmarks.corpus import Article, articles
from benchmarks.publishing import LAYOUTS, STAGES, caller, chunk_texts, ingest
from benchmarks.results import RESULTS, Cores, Figure, Result, Results, Target, circumstances, hand_in
from benchmarks.rig import deployment, pin, stack, worker
from streams.settings import Settings

LIMIT_S = 600.0
WARM_UP = 2

METHOD = """\
The whole pipeline on real parts (Kafka, parser, int8 embedder, Milvus Lite) with one worker process that hosts all
ingest stages, as `headwater up` starts it, against the same embedder called by a loop in batches of 32 over the same
chunk texts in a process of its own. The three sides take turns; all processes, servers included, share the same
cores. Time runs from the first event sent to the last receipt read."""


def main(
    documents: Annotated[int, typer.Option(help="Documents of about 24 chunks in each repeat.")] = 20,
    repeats: Annotated[int, typer.Option(help="Turns of each side.")] = 3,
    cores: Cores = 2,
    results: Results = RESULTS,
) -> None:
    """Chunks per second of the pipeline divided by those of a bare embedding loop."""
    where = circumstances()
    pin(cores)
    with stack() as settings:
        corpus = list(articles(documents, seed=1))
        samples = asyncio.run(asyncio.wait_for(measure(settings, corpus, repeats), LIMIT_S))
    figures = [
        Figure(
            name=f"pipeline to bare loop, `{layout}`",
            unit="x",
            samples=tuple(bare / piped for bare, piped in zip(samples["bare"], samples[layout], strict=True)),
            target=Target(at="least", value=0.85),
        )
        for layout in LAYOUTS
    ]
    chunks = int(samples["chunks"][0])
    for side in ("bare", *LAYOUTS):
        name = "bare loop" if side == "bare" else f"pipeline, `{side}`"
        figures.append(Figure(name=name, unit="chunks/s", samples=tuple(chunks / each for each in samples[side])))
    parameters = {"documents": documents, "chunks": chunks, "cores": cores}
    hand_in(Result("ingest_ratio", METHOD, tuple(figures), where, parameters), results)


async def measure(settings: Settings, corpus: Sequence[Article], repeats: int) -> dict[str, list[float]]:
    """Seconds of every turn by side, and the number of chunks in each."""
    texts = await chunk_texts(settings, corpus)
    samples: dict[str, list[float]] = {side: [] for side in ("bare", *LAYOUTS)} | {"chunks": [len(texts)]}
    with ExitStack() as processes:
        bare = processes.enter_context(bare_loop(settings, texts))
        async with AsyncExitStack() as clients:
            sides = {}
            for layout, name in LAYOUTS.items():
                own = deployment(settings, name, ingest_segments=layout)
                processes.enter_context(worker(own, STAGES))
                sides[layout] = await clients.enter_async_context(caller(own))
                await ingest(sides[layout], corpus[:WARM_UP], label="warm-up")
            for repeat in range(repeats):
                samples["bare"].append(await asyncio.to_thread(take_turn, bare))
                for layout, client in sides.items():
                    done = await ingest(client, corpus, label=f"repeat-{repeat}")
                    if done.chunks != len(texts):
                        raise RuntimeError(f"{layout}: {done.chunks} chunks, the bare loop has {len(texts)}")
                    samples[layout].append(done.seconds)
    return samples


@contextmanager
def bare_loop(settings: Settings, texts: Sequence[str]) -> Iterator[subprocess.Popen[str]]:
    """The loop's process, warmed up and waiting for its turn."""
    path = settings.home / "texts.json"
    path.write_bytes(orjson.dumps(texts))
    command = [sys.executable, "-m", "benchmarks.bare_loop", str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            if process.stdout is None or process.stdout.readline() != "ready\n":
                raise RuntimeError("the bare loop did not start")
            yield process
        finally:
            process.terminate()


def take_turn(bare: subprocess.Popen[str]) -> float:
    """Seconds that the bare loop took for all texts."""
    assert bare.stdin is not None
    assert bare.stdout is not None
    print(file=bare.stdin, flush=True)
    return float(bare.stdout.readline())


if __name__ == "__main__":
    typer.run(main)
