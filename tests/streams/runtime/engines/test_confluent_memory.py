"""What the confluent engine holds between its thread and the window is bounded in bytes, not in records alone."""

import asyncio

import pytest
from confluent_kafka import Producer

from streams.runtime.engines import reader
from streams.runtime.engines.confluent import ConfluentEngine
from streams.runtime.engines.reader import Options, Reader
from streams.runtime.records import Record
from tests.servers.mock_kafka import MockKafka
from tests.streams.runtime.engines.contract import until
from tests.streams.runtime.engines.kafka import running

RECORDS, RECORD_BYTES = 90, 50_000
HELD_BYTES = 500_000


async def test_large_records_do_not_pile_up_before_a_full_window(monkeypatch: pytest.MonkeyPatch) -> None:
    paused, readers, let_go = asyncio.Event(), set[Reader](), asyncio.Event()
    pause, loop = Reader._pause, asyncio.get_running_loop()
    done: list[int] = []

    def note(reader: Reader) -> None:
        readers.add(reader)
        pause(reader)
        loop.call_soon_threadsafe(paused.set)

    async def handle(record: Record) -> None:
        await let_go.wait()
        done.append(record.offset)

    monkeypatch.setattr(reader, "BATCH_BYTES", HELD_BYTES)
    monkeypatch.setattr(Reader, "_pause", note)
    with MockKafka() as mock:
        mock.topic("documents", partitions=1)
        producer = Producer({"bootstrap.servers": mock.address, "log_level": 0})
        for number in range(RECORDS):
            producer.produce("documents", b"x" * RECORD_BYTES, key=str(number))
        producer.flush()
        options: Options = {
            "bootstrap.servers": mock.address,
            "fetch.message.max.bytes": 2 * RECORD_BYTES,
            "fetch.wait.max.ms": 10,
            "log_level": 0,
            "queued.max.messages.kbytes": HELD_BYTES // 1_000,
        }
        engine = ConfluentEngine(options, max_events=1, max_bytes=RECORD_BYTES, ahead_bytes=RECORD_BYTES)
        engine.host("readers", "documents", handle)
        async with running(engine):
            await until(paused.is_set)
            [paused_one] = readers
            assert paused_one._handed < RECORDS // 2
            let_go.set()
            await until(lambda: len(done) == RECORDS)
