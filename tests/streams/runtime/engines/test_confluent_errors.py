"""The confluent engine hears that it will never read again, and says so instead of waiting in silence."""

import asyncio
import functools
from collections.abc import Iterator

import pytest
from confluent_kafka import KafkaError, Producer

from streams.runtime.engines import reader
from streams.runtime.engines.confluent import ConfluentEngine, _Group
from streams.runtime.engines.reader import Options
from streams.runtime.errors import Fatal
from streams.runtime.records import Record
from tests.servers.mock_kafka import FETCH, HEARTBEAT, JOIN_GROUP, OFFSET_COMMIT, OFFSET_FETCH, SYNC_GROUP, MockKafka
from tests.streams.runtime.engines.contract import Handle, until
from tests.streams.runtime.engines.kafka import running

TOPIC = "documents"


@pytest.fixture
def mock() -> Iterator[MockKafka]:
    """A broker with a record to read."""
    with MockKafka() as mock:
        mock.topic(TOPIC, partitions=1)
        producer = Producer({"bootstrap.servers": mock.address, "log_level": 0})
        producer.produce(TOPIC, b"a record")
        producer.flush()
        yield mock


@pytest.mark.parametrize(
    ("request_kind", "error"),
    [
        (JOIN_GROUP, KafkaError.GROUP_AUTHORIZATION_FAILED),
        (JOIN_GROUP, KafkaError.FENCED_INSTANCE_ID),
        (SYNC_GROUP, KafkaError.FENCED_INSTANCE_ID),
        (HEARTBEAT, KafkaError.FENCED_INSTANCE_ID),
        (FETCH, KafkaError.TOPIC_AUTHORIZATION_FAILED),
        (OFFSET_FETCH, KafkaError.GROUP_AUTHORIZATION_FAILED),
        (OFFSET_COMMIT, KafkaError.FENCED_INSTANCE_ID),
        (OFFSET_COMMIT, KafkaError.GROUP_AUTHORIZATION_FAILED),
        (OFFSET_COMMIT, KafkaError.TOPIC_AUTHORIZATION_FAILED),
    ],
)
async def test_an_error_that_does_not_pass_ends_the_engine(mock: MockKafka, request_kind: int, error: int) -> None:
    async def handle(_: Record) -> None:
        pass

    options: Options = {
        "bootstrap.servers": mock.address,
        "fetch.wait.max.ms": 10,
        "group.instance.id": "me",
        "heartbeat.interval.ms": 100,
        "log_level": 0,
    }
    engine = ConfluentEngine(options, max_events=16, max_bytes=1_000_000)
    engine.host("readers", TOPIC, handle)
    mock.fail(request_kind, error, times=200)
    async with asyncio.timeout(30):
        with pytest.raises(Fatal, match="broker-lost"):
            await engine.run(asyncio.Event(), on_ready=lambda: None)


async def test_a_member_whose_commits_are_all_refused_does_the_same_work_again_only_for_so_long(
    mock: MockKafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[int] = []

    async def handle(record: Record) -> None:
        done.append(record.offset)

    monkeypatch.setattr(reader, "REFUSED_S", 0.5)
    engine = quick_to_rejoin(mock, handle)
    mock.fail(OFFSET_COMMIT, KafkaError.ILLEGAL_GENERATION, times=400)
    async with asyncio.timeout(30):
        with pytest.raises(Fatal, match="commits-refused"):
            await engine.run(asyncio.Event(), on_ready=lambda: None)
    assert done == [0] * len(done)
    assert len(done) > 1


async def test_a_member_that_is_forgotten_now_and_then_goes_on(
    mock: MockKafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def handle(_: Record) -> None:
        pass

    taken: set[int] = set()
    monkeypatch.setattr(reader, "REFUSED_S", 0.0)
    monkeypatch.setattr(_Group, "committed", lambda _, positions: taken.update(positions.values()))
    producer = Producer({"bootstrap.servers": mock.address, "log_level": 0})
    async with running(quick_to_rejoin(mock, handle)):
        for records in (2, 3, 4):
            mock.fail(OFFSET_COMMIT, KafkaError.UNKNOWN_MEMBER_ID)
            producer.produce(TOPIC, b"one more")
            producer.flush()
            await until(lambda: not mock.pending(OFFSET_COMMIT))
            await until(functools.partial(taken.__contains__, records))


def quick_to_rejoin(mock: MockKafka, handle: Handle) -> ConfluentEngine:
    """The mock lets members wait for each other for a second less than a session."""
    options: Options = {
        "bootstrap.servers": mock.address,
        "fetch.wait.max.ms": 10,
        "heartbeat.interval.ms": 100,
        "log_level": 0,
        "session.timeout.ms": 1_500,
    }
    engine = ConfluentEngine(options, max_events=16, max_bytes=1_000_000)
    engine.host("readers", TOPIC, handle)
    return engine
