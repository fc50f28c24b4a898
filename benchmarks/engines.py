"""How many records an engine reads, hands out and commits in a second."""

import asyncio
import signal
import time
from typing import Annotated, get_args

import typer
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from benchmarks.results import RESULTS, Cores, Figure, Result, Results, circumstances, hand_in
from benchmarks.rig import pin, stack
from streams.engines import engine_of
from streams.runtime.records import Record
from streams.settings import EngineName, Settings

TOPIC = "engines"
PARTITIONS = 4
KEYS = 997
VALUE_BYTES = 500
LIMIT_S = 240.0

METHOD = """\
A backlog of small records (500 bytes, 997 keys, 4 partitions) is read by one engine in one process, through the intake
with its lanes and its window of 64, by a handler that does nothing, and committed; both engines in turn, each time in a
new group. Time and CPU of the process run from the first record handled to the last; a worker's own work comes on top:
this is what an engine could do at most."""


def main(
    records: Annotated[int, typer.Option(help="Records in the backlog.")] = 20_000,
    repeats: Annotated[int, typer.Option(help="Turns of each engine.")] = 4,
    cores: Cores = 2,
    results: Results = RESULTS,
) -> None:
    """Records a second, and CPU for each."""
    where = circumstances()
    pin(cores)
    with stack() as settings:
        _fill(settings.kafka_url, records)
        turns = asyncio.run(asyncio.wait_for(measure(settings, records, repeats), LIMIT_S))
    figures = []
    for name, done in turns.items():
        rates = tuple(records / seconds for seconds, _ in done)
        costs = tuple(cpu_s / records * 1e6 for _, cpu_s in done)
        figures.append(Figure(name=f"`{name}`", unit="records/s", samples=rates))
        figures.append(Figure(name=f"`{name}`, CPU for a record", unit="µs", samples=costs))
    hand_in(Result("engines", METHOD, tuple(figures), where, {"records": records, "cores": cores}), results)


async def measure(settings: Settings, records: int, repeats: int) -> dict[EngineName, list[tuple[float, float]]]:
    """By engine and turn: seconds, and CPU-seconds."""
    reading = asyncio.current_task()
    assert reading is not None
    # Leaving the loop in the middle of a callback would let faust's tasks wait for each other for ever.
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, reading.cancel)
    turns: dict[EngineName, list[tuple[float, float]]] = {name: [] for name in get_args(EngineName)}
    for repeat in range(repeats):
        for name, done in turns.items():
            done.append(await _read(settings.model_copy(update={"engine": name}), f"{name}-{repeat}", records))
    return turns


async def _read(settings: Settings, group: str, records: int) -> tuple[float, float]:
    stop = asyncio.Event()
    handled = 0
    start = (0.0, 0.0)
    end = (0.0, 0.0)

    async def handle(_: Record) -> None:
        nonlocal handled, start, end
        if handled == 0:
            start = (time.perf_counter(), time.process_time())
        handled += 1
        if handled == records:
            end = (time.perf_counter(), time.process_time())
            stop.set()

    engine = engine_of(settings, groups=1)
    engine.host(group, TOPIC, handle)
    await engine.run(stop, on_ready=lambda: None)
    return end[0] - start[0], end[1] - start[1]


def _fill(servers: str, records: int) -> None:
    admin = AdminClient({"bootstrap.servers": servers})
    admin.create_topics([NewTopic(TOPIC, PARTITIONS, 1)])[TOPIC].result()
    producer = Producer({"bootstrap.servers": servers, "queue.buffering.max.messages": records})
    for number in range(records):
        producer.produce(TOPIC, key=b"tenant/%d" % (number % KEYS), value=bytes(VALUE_BYTES))
    producer.flush()


if __name__ == "__main__":
    typer.run(main)
