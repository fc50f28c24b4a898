"""The confluent engine hears that it will never read again, and says so instead of waiting in silence."""

import asyncio
from collections.abc import Iterator

import pytest
from confluent_kafka import KafkaError, Producer

from streams.runtime.engines.confluent import ConfluentEngine
from streams.runtime.engines.reader import Options
from streams.runtime.errors import Fatal
from streams.runtime.records import Record
from tests.servers.mock_kafka import FETCH, HEARTBEAT, JOIN_GROUP, OFFSET_COMMIT, OFFSET_FETCH, SYNC_GROUP, MockKafka

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
