"""The producer when the broker errs: a record counts as written when the broker said so, and an end is an end."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest
from confluent_kafka import Consumer, KafkaError, TopicPartition

from processors.errors import Poison
from streams.runtime.errors import Fatal
from streams.runtime.producer import KafkaBroker
from streams.runtime.records import Outgoing
from streams.runtime.work import settle
from streams.topics import RECEIPTS
from tests.servers.mock_kafka import INIT_PRODUCER_ID, PRODUCE, MockKafka
from tests.streams.runtime.engines.contract import until

TOPIC = "receipts"
SOON: dict[str, str | int] = {
    "reconnect.backoff.max.ms": 50,
    "reconnect.backoff.ms": 10,
    "retry.backoff.max.ms": 50,
    "retry.backoff.ms": 10,
    # The mock takes a record behind one that it has refused, which no real broker does.
    "max.in.flight.requests.per.connection": 1,
}


@pytest.fixture
def mock() -> Iterator[MockKafka]:
    with MockKafka() as mock:
        mock.topic(TOPIC, partitions=1)
        yield mock


@asynccontextmanager
async def producing(mock: MockKafka, **options: int) -> AsyncIterator[KafkaBroker]:
    own = {name.replace("_", "."): value for name, value in options.items()}
    broker = KafkaBroker({"bootstrap.servers": mock.address, "log_level": 0, **SOON, **own}, max_record_bytes=100_000)
    await broker.open()
    try:
        yield broker
    finally:
        await broker.close(timeout_s=0.1)


async def settled(broker: KafkaBroker, number: int) -> None:
    """As a stage's work takes the broker's word."""
    await settle(await broker.send(numbered(number)), RECEIPTS)


async def sent(broker: KafkaBroker, number: int) -> None:
    await (await broker.send(numbered(number)))


def numbered(number: int) -> Outgoing:
    return Outgoing(topic=TOPIC, key=b"k", value=b"%d" % number, headers=[])


def there(mock: MockKafka) -> list[int]:
    """The numbers of the records that the broker has."""
    consumer = Consumer({"bootstrap.servers": mock.address, "group.id": "none", "fetch.wait.max.ms": 10})
    where = TopicPartition(TOPIC, 0, 0)
    consumer.assign([where])
    _, end = consumer.get_watermark_offsets(where, timeout=5)
    messages = consumer.consume(end, timeout=10)
    consumer.close()
    return [int(message.value() or b"-1") for message in messages]


@pytest.mark.parametrize(
    ("request_kind", "error"),
    [
        (PRODUCE, KafkaError._TRANSPORT),
        (PRODUCE, KafkaError.NOT_LEADER_FOR_PARTITION),
        (PRODUCE, KafkaError.LEADER_NOT_AVAILABLE),
        (PRODUCE, KafkaError.REQUEST_TIMED_OUT),
        (PRODUCE, KafkaError.NOT_ENOUGH_REPLICAS),
        (PRODUCE, KafkaError.NOT_ENOUGH_REPLICAS_AFTER_APPEND),
        (PRODUCE, KafkaError.KAFKA_STORAGE_ERROR),
        (PRODUCE, KafkaError.UNKNOWN_TOPIC_OR_PART),
        (PRODUCE, KafkaError.UNKNOWN_PRODUCER_ID),
        (INIT_PRODUCER_ID, KafkaError.COORDINATOR_LOAD_IN_PROGRESS),
        (INIT_PRODUCER_ID, KafkaError.NOT_COORDINATOR),
    ],
)
async def test_an_error_that_passes_is_waited_for(mock: MockKafka, request_kind: int, error: int) -> None:
    mock.fail(request_kind, error, times=3)
    async with producing(mock) as broker:
        await asyncio.gather(*(sent(broker, number) for number in range(20)))
    assert not mock.pending(request_kind)
    assert there(mock) == list(range(20))


async def test_a_record_whose_acknowledgement_is_lost_is_not_written_until_another_one_comes(mock: MockKafka) -> None:
    async with producing(mock) as broker:
        await sent(broker, 0)
        mock.fail(PRODUCE, 0, after_ms=600_000)
        sending = asyncio.create_task(sent(broker, 1))
        await until(lambda: not mock.pending(PRODUCE))
        assert not sending.done()
        mock.down()
        mock.up()
        await sending
    assert there(mock) == [0, 1, 1], "a broker that filters repetitions would have it once"


async def test_a_broker_that_stays_away_ends_the_worker(mock: MockKafka) -> None:
    async with producing(mock, delivery_timeout_ms=3_000) as broker:
        await sent(broker, 0)
        mock.down()
        with pytest.raises(Fatal, match=r"broker-lost.*timed out"):
            await settled(broker, 1)


@pytest.mark.parametrize(
    ("request_kind", "error"),
    [
        (PRODUCE, KafkaError.OUT_OF_ORDER_SEQUENCE_NUMBER),
        (PRODUCE, KafkaError.CLUSTER_AUTHORIZATION_FAILED),
        (PRODUCE, KafkaError.TOPIC_AUTHORIZATION_FAILED),
        (INIT_PRODUCER_ID, KafkaError.CLUSTER_AUTHORIZATION_FAILED),
    ],
)
async def test_an_error_that_does_not_pass_ends_the_worker(mock: MockKafka, request_kind: int, error: int) -> None:
    mock.fail(request_kind, error)
    async with producing(mock) as broker, asyncio.timeout(10):
        outcomes = await asyncio.gather(*(settled(broker, number) for number in range(20)), return_exceptions=True)
    assert not mock.pending(request_kind)
    assert isinstance(outcomes[0], Fatal)
    written = [number for number, outcome in enumerate(outcomes) if outcome is None]
    assert there(mock) == written


async def test_a_client_that_is_lost_says_so_of_all_that_follows(mock: MockKafka) -> None:
    mock.fail(PRODUCE, KafkaError.OUT_OF_ORDER_SEQUENCE_NUMBER)
    async with producing(mock) as broker, asyncio.timeout(10):
        for number in range(3):
            with pytest.raises(Fatal, match="broker-lost"):
                await settled(broker, number)
    assert there(mock) == []


async def test_a_record_that_the_broker_finds_too_large_is_poison_and_the_next_one_is_not(mock: MockKafka) -> None:
    mock.fail(PRODUCE, KafkaError.MSG_SIZE_TOO_LARGE)
    async with producing(mock) as broker:
        with pytest.raises(Poison, match="record-too-large"):
            await settled(broker, 0)
        await settled(broker, 1)
    assert there(mock) == [1]


async def test_a_topic_that_the_broker_does_not_know_yet_is_waited_for(mock: MockKafka) -> None:
    mock.deny(TOPIC, KafkaError.UNKNOWN_TOPIC_OR_PART)
    async with producing(mock) as broker:
        sending = asyncio.create_task(sent(broker, 0))
        await asyncio.sleep(0.3)
        assert not sending.done()
        mock.deny(TOPIC, KafkaError.NO_ERROR)
        await sending
    assert there(mock) == [0]


async def test_a_topic_that_the_broker_never_knows_ends_the_worker(mock: MockKafka) -> None:
    mock.deny(TOPIC, KafkaError.UNKNOWN_TOPIC_OR_PART)
    async with producing(mock, topic_metadata_propagation_max_ms=100) as broker:
        with pytest.raises(Fatal, match=r"topic-missing.*headwater topics apply"):
            await settled(broker, 0)
