"""An import into a real Milvus: rows a second in gathered writes, and what freshness costs a read."""

import asyncio
import random
import signal
import sys
import time
import uuid
from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated

import numpy as np
import typer

from benchmarks.results import RESULTS, Cores, Figure, Result, Results, circumstances, hand_in
from benchmarks.rig import pin
from processors.backends.milvus.index import MilvusIndex
from processors.backends.milvus.rows import chunk_rows
from processors.conformance.documents import head, slices
from processors.errors import Transient
from processors.ports import Search
from schemas import ChunksEmbedded, Tenant
from tests.servers import milvus as real

DIMENSIONS = 384
ROWS_PER_SLICE = 64
WRITTEN, SEARCHED = "written", "searched"
"""Tenants: what is written here has no heads, and no search finds it."""
SEARCHED_ROWS = 640
MODEL = "random"
STALENESS_S = 1.0
LIMIT_S = 240.0

METHOD = """\
Slices of 64 chunks of a thousand characters, with random vectors of 384 dimensions, are written into a real Milvus
standalone, so many in flight: by the adapter, which sends what waits together (two writes of at most 512 rows at once),
and by the same rows in one upsert for each slice. Both take turns. Then a search of the adapter, the look at the heads
included, that must see all that is written, and one that may lag by a second."""

Write = Callable[[ChunksEmbedded], Awaitable[object]]


def main(
    *,
    rows: Annotated[int, typer.Option(help="Rows that each side writes in a turn.")] = 1_280,
    in_flight: Annotated[int, typer.Option(help="Slices in flight.")] = 64,
    searches: Annotated[int, typer.Option(help="Searches of each kind in a turn.")] = 20,
    repeats: Annotated[int, typer.Option(help="Turns of each side.")] = 3,
    cores: Cores = 2,
    results: Results = RESULTS,
) -> None:
    """Rows a second of an import in gathered writes, beside one write for each slice."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # so that servers and folders go
    where = circumstances()
    pin(cores)
    parameters: dict[str, int | str] = {"rows": rows, "in flight": in_flight, "cores": cores}
    figures: list[Figure] = []
    if reason := real.missing():
        parameters["Milvus standalone"] = reason
    else:
        with real.standalone() as server:
            url = server.index_url(f"bulk_{uuid.uuid4().hex[:8]}")
            figures = asyncio.run(asyncio.wait_for(measure(url, rows, in_flight, searches, repeats), LIMIT_S))
    hand_in(Result("milvus_bulk", METHOD, tuple(figures), where, parameters), results)


async def measure(url: str, rows: int, in_flight: int, searches: int, repeats: int) -> list[Figure]:
    fresh, lagging = MilvusIndex(url, staleness_s=0), MilvusIndex(url, staleness_s=STALENESS_S)
    for index in (fresh, lagging):
        await index.open()
    for event in documents("searched", SEARCHED_ROWS, tenant=SEARCHED):
        await fresh.write(event)
        await fresh.flip(head(event))

    async def each(event: ChunksEmbedded) -> None:
        await fresh._client.call("upsert", fresh.name, chunk_rows(event, "array"))

    taken: list[tuple[float, float]] = []
    waited: list[tuple[float, float]] = []
    for turn in range(repeats + 1):
        gathered, alone = documents(f"gathered-{turn}", rows), documents(f"alone-{turn}", rows)
        sides: list[tuple[Write, Sequence[ChunksEmbedded]]] = [(fresh.write, gathered), (each, alone)]
        seconds = {}
        for side in random.sample((0, 1), 2):
            seconds[side] = await timed(*sides[side], in_flight)
        taken.append((seconds[0], seconds[1]))
        await caught_up(fresh)
        waited.append((await search_ms(fresh, searches), await search_ms(lagging, searches)))
    for index in (fresh, lagging):
        await index.close()
    taken, waited = taken[1:], waited[1:]
    return [
        figure("gathered writes over one write a slice", "x", [alone / together for together, alone in taken]),
        figure("rows/s of an import in gathered writes", "1/s", [rows / together for together, _ in taken]),
        figure("search that sees all that is written, p50", "ms", [strong for strong, _ in waited]),
        figure(f"search that may lag by {STALENESS_S:.0f} s, p50", "ms", [bounded for _, bounded in waited]),
    ]


def figure(name: str, unit: str, samples: Sequence[float]) -> Figure:
    return Figure(name=f"{name}, Milvus standalone", unit=unit, samples=tuple(samples))


def documents(name: str, rows: int, tenant: str = WRITTEN) -> list[ChunksEmbedded]:
    """Documents of one slice each."""
    chance = np.random.default_rng(0)
    events = []
    for number in range(max(1, rows // ROWS_PER_SLICE)):
        texts = [f"{name} {number} {place} " + "and what else a chunk says " * 36 for place in range(ROWS_PER_SLICE)]
        [event] = slices(texts, document_id=f"{name}-{number}", tenant=tenant, per_slice=ROWS_PER_SLICE)
        vectors = chance.standard_normal((ROWS_PER_SLICE, DIMENSIONS)).astype("<f4")
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        events.append(
            ChunksEmbedded.after(
                event, model=MODEL, dimensions=DIMENSIONS, vectors=vectors.tobytes(), embedded=ROWS_PER_SLICE
            )
        )
    return events


async def timed(write: Write, events: Sequence[ChunksEmbedded], in_flight: int) -> float:
    """Seconds for all of them, so many at a time."""
    waiting = iter(events)

    async def work() -> None:
        for event in waiting:
            await write(event)

    started = time.perf_counter()
    await asyncio.gather(*(work() for _ in range(in_flight)))
    return time.perf_counter() - started


async def caught_up(index: MilvusIndex) -> None:
    """Return when a search that must see everything is answered: two cores index what was written for a while."""
    while True:
        try:
            await search_ms(index, 1)
        except Transient:
            continue
        return


async def search_ms(index: MilvusIndex, searches: int) -> float:
    """Median of searches, one after another."""
    vector = np.full(DIMENSIONS, DIMENSIONS**-0.5, dtype=np.float32)
    search = Search(tenant=Tenant(SEARCHED), text="chunk", vector=vector, model=MODEL, limit=20)
    taken = []
    for _ in range(searches):
        started = time.perf_counter()
        await index.search(search)
        taken.append(1e3 * (time.perf_counter() - started))
    return float(np.median(taken))


if __name__ == "__main__":
    typer.run(main)
