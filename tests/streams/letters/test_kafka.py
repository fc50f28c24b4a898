"""Whole topics of a real broker: read to their end, cut, and worked on by one at a time."""

import asyncio
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import closing

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from streams.letters.kafka import KafkaLog
from streams.letters.letter import Place
from streams.letters.log import fetch
from streams.letters.turn import SESSION_MS, Turn
from streams.local.listeners import free_ports
from streams.settings import Settings
from streams.tail import BrokerUnreachable, TopicMissing
from streams.topics import LETTERS_SETTLED

pytestmark = pytest.mark.stack

HOLDER = """
import asyncio, sys
from streams.letters.turn import Turn
async def hold():
    async with Turn({"bootstrap.servers": sys.argv[1]}, sys.argv[2], on_wait=lambda: None):
        print("held", flush=True)
        await asyncio.sleep(60)
asyncio.run(hold())
"""


@pytest.fixture
def prefix(stack: Settings) -> Iterator[str]:
    """Of topics that no other test has: `several`, with three partitions, and the topic of marks."""
    prefix = f"{uuid.uuid4().hex[:8]}-"
    admin = AdminClient({**stack.kafka_config})
    topics = [NewTopic(f"{prefix}several", 3, 1), NewTopic(prefix + LETTERS_SETTLED, 1, 1)]
    for created in admin.create_topics(topics).values():
        created.result(30)
    while not {topic.topic for topic in topics} <= set(admin.list_topics(timeout=10).topics):
        time.sleep(0.02)
    yield prefix
    for deleted in admin.delete_topics([topic.topic for topic in topics]).values():
        deleted.result(30)


@pytest.fixture
def log(stack: Settings, prefix: str) -> KafkaLog:
    return KafkaLog(stack.kafka_config, prefix)


def write(stack: Settings, topic: str, count: int, *, size_bytes: int = 10) -> None:
    producer = Producer({**stack.kafka_config})
    for number in range(count):
        value = str(number).encode().ljust(size_bytes)
        producer.produce(topic, value, partition=number % 3, headers={"number": str(number)})
    assert producer.flush(30) == 0


def numbers(log: KafkaLog, topic: str = "several") -> list[int]:
    with closing(log.scan(log.starts([topic]))) as records:
        return [int(record.value or b"") for record in records]


def test_a_topic_is_read_whole_in_order_within_its_partitions(stack: Settings, prefix: str, log: KafkaLog) -> None:
    assert numbers(log) == []
    write(stack, f"{prefix}several", 5_000, size_bytes=300)
    found = numbers(log)
    assert sorted(found) == list(range(5_000))
    for partition in range(3):
        mine = [number for number in found if number % 3 == partition]
        assert mine == sorted(mine)


def test_a_record_is_fetched_by_its_place_and_what_is_deleted_is_gone(
    stack: Settings, prefix: str, log: KafkaLog
) -> None:
    write(stack, f"{prefix}several", 30)
    found = fetch(log, Place("several", 2, 4))
    assert found is not None
    assert (found.value, dict(found.headers)) == (b"14".ljust(10), {"number": b"14"})
    log.delete({("several", 2): 5, ("several", 0): 1})
    assert fetch(log, Place("several", 2, 4)) is None
    assert fetch(log, Place("several", 2, 99)) is None
    assert log.starts(["several"]) == {("several", 0): 1, ("several", 1): 0, ("several", 2): 5}
    assert len(numbers(log)) == 30 - 6


def test_what_arrives_while_a_topic_is_read_is_not_waited_for(stack: Settings, prefix: str, log: KafkaLog) -> None:
    write(stack, f"{prefix}several", 9)
    seen = 0
    with closing(log.scan(log.starts(["several"]))) as records:
        for _ in records:
            seen += 1
            write(stack, f"{prefix}several", 3)
    assert seen == 9


def test_a_topic_and_a_broker_that_are_not_there_are_said(log: KafkaLog) -> None:
    with pytest.raises(TopicMissing, match="`headwater topics apply` creates it"):
        log.starts(["nowhere"])
    away = KafkaLog({"bootstrap.servers": f"127.0.0.1:{free_ports(1)[0]}"}, "")
    with pytest.raises(BrokerUnreachable):
        away.starts(["several"])


async def test_one_has_the_turn_and_the_next_waits_until_it_leaves(stack: Settings, prefix: str) -> None:
    first = Turn(stack.kafka_config, prefix, on_wait=lambda: None)
    second = Turn(stack.kafka_config, prefix, on_wait=lambda: None)
    async with first:
        waiting = asyncio.create_task(second.__aenter__())
        await asyncio.sleep(1.5)  # long enough for the group to give it the turn, if it did
        assert not waiting.done()
        first.check()
    async with asyncio.timeout(30):
        await waiting
    second.check()
    with pytest.raises(ConnectionError, match="run it again"):
        first.check()
    await second.__aexit__(None, None, None)


async def test_the_turn_of_a_killed_command_passes_on(stack: Settings, prefix: str) -> None:
    waited: list[bool] = []
    holder = await asyncio.create_subprocess_exec(
        sys.executable, "-c", HOLDER, stack.kafka_url, prefix, stdout=asyncio.subprocess.PIPE
    )
    assert holder.stdout is not None
    assert await holder.stdout.readline() == b"held\n"
    holder.kill()
    await holder.wait()
    async with asyncio.timeout(SESSION_MS / 1000 + 30):
        async with Turn(stack.kafka_config, prefix, on_wait=lambda: waited.append(True)):
            assert waited == [True]


async def test_a_turn_without_a_broker_never_comes() -> None:
    turn = Turn({"bootstrap.servers": f"127.0.0.1:{free_ports(1)[0]}"}, "", on_wait=lambda: None)
    with pytest.raises(BrokerUnreachable):
        await turn.__aenter__()
