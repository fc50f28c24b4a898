"""The producer on a real broker: acknowledged, in order, and clear about what can never be written."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from uuid import uuid4

import pytest
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from processors.errors import Poison
from streams.runtime.producer import KafkaBroker
from streams.runtime.records import Outgoing
from streams.settings import Settings

pytestmark = pytest.mark.stack
MAX_BYTES = 10_000


@pytest.fixture
def topic(stack: Settings) -> Iterator[str]:
    admin = AdminClient({**stack.kafka_config, "log_level": 0})
    name = f"producer-{uuid4().hex[:8]}"
    admin.create_topics([NewTopic(name, 2, 1, config={"max.message.bytes": str(MAX_BYTES)})])[name].result()
    yield name
    admin.delete_topics([name])[name].result()


@pytest.fixture
async def broker(stack: Settings) -> AsyncIterator[KafkaBroker]:
    broker = KafkaBroker(stack.kafka_config, max_record_bytes=1_000_000)
    await broker.open()
    yield broker
    await broker.close()


def record(topic: str, value: bytes | None, *, partition: int | None = 1) -> Outgoing:
    return Outgoing(topic=topic, partition=partition, key=b"k", value=value, headers=[("a", b"\xff\x00"), ("b", None)])


async def test_records_arrive_whole_and_in_order(broker: KafkaBroker, topic: str, stack: Settings) -> None:
    deliveries = [await broker.send(record(topic, b"%d" % number)) for number in range(100)]
    await asyncio.gather(*deliveries)
    await (await broker.send(record(topic, None)))
    messages = await asyncio.to_thread(read, stack, topic, 101)
    assert [message[0] for message in messages] == [b"%d" % number for number in range(100)] + [None]
    assert all(message[1] == [("a", b"\xff\x00"), ("b", None)] for message in messages)


async def test_a_full_buffer_holds_senders_up_and_loses_nothing(topic: str, stack: Settings) -> None:
    small = KafkaBroker({**stack.kafka_config, "queue.buffering.max.messages": "5"}, max_record_bytes=1_000_000)
    await small.open()
    try:
        sent = [asyncio.create_task(small.send(record(topic, b"%d" % number))) for number in range(100)]
        await asyncio.gather(*[await each for each in sent])
    finally:
        await small.close()
    messages = await asyncio.to_thread(read, stack, topic, 100)
    assert [message[0] for message in messages] == [b"%d" % number for number in range(100)]


async def test_what_the_client_cannot_take_fails_alone(broker: KafkaBroker, topic: str) -> None:
    unnamed = Outgoing(topic=topic, partition=2**40, key=None, value=b"", headers=[])
    deliveries = [await broker.send(each) for each in (unnamed, record(topic, b"good"))]
    bad, good = await asyncio.gather(*deliveries, return_exceptions=True)
    assert (type(bad), good) == (OverflowError, None)


def read(stack: Settings, topic: str, count: int) -> list[tuple[bytes | None, object]]:
    consumer = Consumer({**stack.kafka_config, "group.id": "none", "enable.auto.commit": False})
    consumer.assign([TopicPartition(topic, 1, 0)])
    messages = consumer.consume(count, timeout=20)
    consumer.close()
    return [(message.value(), message.headers()) for message in messages]


async def test_a_record_over_the_brokers_limit_is_poison(broker: KafkaBroker, topic: str) -> None:
    noise = uuid4().bytes * 10 + bytes(range(256)) * 200
    incompressible = b"".join(uuid4().bytes for _ in range(2_000))
    with pytest.raises(Poison, match="record-too-large"):
        await (await broker.send(record(topic, incompressible)))
    with pytest.raises(Poison, match="record-too-large"):
        await (await broker.send(record(topic, noise * 100)))
    await (await broker.send(record(topic, b"the next one")))


@pytest.mark.parametrize("partition", [2, 99])
async def test_a_partition_that_does_not_exist_is_poison(broker: KafkaBroker, topic: str, partition: int) -> None:
    await (await broker.send(record(topic, b"x")))
    with pytest.raises(Poison, match="unknown-partition"):
        await (await broker.send(record(topic, b"x", partition=partition)))


async def test_metadata_knows_which_addresses_exist(broker: KafkaBroker, topic: str) -> None:
    assert await broker.reaches(topic, 1)
    assert not await broker.reaches(topic, 2)
    assert not await broker.reaches("nowhere-" + topic, 0)
    assert "nowhere-" + topic not in await broker.partitions()


@pytest.mark.parametrize("options", [{"nonsense": "x"}, {"security.protocol": "sasl_ssl", "sasl.mechanism": "NOPE"}])
async def test_options_that_cannot_work_are_named(options: dict[str, str]) -> None:
    broker = KafkaBroker({"bootstrap.servers": "127.0.0.1:1", **options}, max_record_bytes=MAX_BYTES)
    with pytest.raises(ConnectionError, match=r"kafka_options.*(nonsense|NOPE)"):
        await broker.open()
