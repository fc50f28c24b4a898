"""One record from a bare producer to a bare consumer: the floor under every hop of a question."""

import time

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition

from streams.runtime.producer import LINGER_MS
from streams.settings import Settings
from streams.tail import bounds
from streams.topics import CANDIDATES

WAIT_S = 10.0


def bare_hops(settings: Settings, count: int, *, pause_s: float) -> list[float]:
    """Milliseconds of `count` hops of 1 KB each, with a pause before each as long as a worker's models take."""
    topic = settings.topic_prefix + CANDIDATES.name
    producer = Producer({**settings.kafka_config, "enable.idempotence": True, "linger.ms": LINGER_MS})
    consumer = Consumer({**settings.kafka_config, "group.id": "bare-hop", "enable.auto.commit": False})
    try:
        _, end = bounds(consumer, topic, 0)
        consumer.assign([TopicPartition(topic, 0, end)])
        return [_hop(producer, consumer, topic, pause_s) for _ in range(count)]
    finally:
        consumer.close()
        producer.flush(WAIT_S)


def _hop(producer: Producer, consumer: Consumer, topic: str, pause_s: float) -> float:
    time.sleep(pause_s)
    started = time.perf_counter_ns()
    producer.produce(topic, bytes(1024), partition=0)
    message = consumer.poll(WAIT_S)
    if message is None or (error := message.error()) is not None:
        raise KafkaException(None if message is None else error)
    return (time.perf_counter_ns() - started) / 1e6
