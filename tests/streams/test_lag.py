"""How far consumer groups are behind, on a real broker."""

import uuid

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from streams.lag import lags
from streams.settings import Settings


@pytest.mark.stack
def test_records_after_the_committed_offset_wait(stack: Settings) -> None:
    settings = stack.model_copy(update={"topic_prefix": f"{uuid.uuid4().hex[:8]}-"})
    topic = settings.topic_prefix + "documents"
    admin = AdminClient({**settings.kafka_config})
    for future in admin.create_topics([NewTopic(topic, 2, 1)]).values():
        future.result(30)
    producer = Producer(settings.kafka_config)
    for partition, count in ((0, 5), (1, 4)):  # of the second one nothing is committed
        for _ in range(count):
            producer.produce(topic, b"x", partition=partition)
    assert producer.flush(30) == 0
    consumer = Consumer(settings.kafka_config | {"group.id": f"{settings.topic_prefix}headwater-chunk"})
    try:
        consumer.commit(offsets=[TopicPartition(topic, 0, 2)], asynchronous=False)
    finally:
        consumer.close()
    others = dict.fromkeys(("embed", "generate", "rerank", "retrieve", "upsert"))
    assert lags(settings) == {"chunk": 3 + 4} | others
    fused = settings.model_copy(update={"ingest_segments": "chunk+embed+upsert"})
    behind = lags(fused)
    assert behind is not None
    assert behind["chunk-embed-upsert"] is None
    assert "chunk" not in behind


def test_without_a_broker_nothing_is_known() -> None:
    assert lags(Settings(kafka="127.0.0.1:1")) is None
