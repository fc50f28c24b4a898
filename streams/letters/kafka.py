"""Whole topics of a Kafka broker, read outside any consumer group."""

from collections.abc import Generator, Mapping, Sequence
from contextlib import closing

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient

from streams.letters.log import Positions
from streams.letters.turn import GROUP
from streams.runtime.messages import record
from streams.runtime.offsets import Partition
from streams.runtime.records import Record
from streams.tail import CONNECT_S, BrokerUnreachable, TopicMissing, bounds, translated

PATIENCE_S = 15.0
"""How long a broker that was there may say nothing in the middle of a topic."""


class KafkaLog:
    """A `Log` on a broker."""

    def __init__(self, config: Mapping[str, str], prefix: str) -> None:
        self._config = dict(config)
        self._address = config["bootstrap.servers"]
        self._prefix = prefix

    def starts(self, topics: Sequence[str]) -> Positions:
        with self._consumer() as consumer:
            found: dict[Partition, int] = {}
            for topic in topics:
                for partition in self._partitions(consumer, topic):
                    found[topic, partition] = self._bounds(consumer, (topic, partition))[0]
            return found

    def scan(self, positions: Positions) -> Generator[Record, None, None]:
        with self._consumer() as consumer:
            ends: dict[tuple[str, int], int] = {}
            assigned = []
            for (topic, partition), start in positions.items():
                first, end = self._bounds(consumer, (topic, partition))
                if max(first, start) < end:
                    ends[self._prefix + topic, partition] = end
                    assigned.append(TopicPartition(self._prefix + topic, partition, max(first, start)))
            consumer.assign(assigned)
            while ends:
                yield from self._batch(consumer, ends)

    def topic_id(self, topic: str) -> str:
        """Which the broker gives to no other topic, even of the same name."""
        name = self._prefix + topic
        admin = AdminClient({**self._config, "log_level": 2})  # it must outlive the answer
        try:
            return str(admin.describe_topics(TopicCollection([name]))[name].result(PATIENCE_S).topic_id)
        except KafkaException as error:
            raise self._said(error) from error

    def delete(self, before: Positions) -> None:
        cuts = [TopicPartition(self._prefix + topic, number, offset) for (topic, number), offset in before.items()]
        admin = AdminClient({**self._config, "log_level": 2})
        try:
            for deleted in admin.delete_records(cuts).values() if cuts else ():
                deleted.result(PATIENCE_S)
        except KafkaException as error:
            raise self._said(error) from error

    def _batch(self, consumer: Consumer, ends: dict[tuple[str, int], int]) -> Generator[Record, None, None]:
        first = consumer.poll(PATIENCE_S)
        if first is None:
            raise BrokerUnreachable(self._address)
        for message in (first, *consumer.consume(500, timeout=0)):
            where = (message.topic() or "", message.partition() or 0)
            if (error := message.error()) is not None:
                if error.code() != KafkaError._PARTITION_EOF:
                    raise self._said(KafkaException(error))
                ends.pop(where, None)
                continue
            end, offset = ends.get(where, 0), message.offset() or 0
            if offset < end:
                yield record(message)
            if offset >= end - 1:
                ends.pop(where, None)

    def _consumer(self) -> "closing[Consumer]":
        options: dict[str, str | int | bool] = {
            **self._config,
            "group.id": self._prefix + GROUP,  # demanded by the library; nothing joins or commits
            "enable.auto.commit": False,
            "enable.partition.eof": True,  # a transaction's end has an offset, and no record
            "auto.offset.reset": "earliest",
            "fetch.wait.max.ms": 10,
            "log_level": 2,  # connection trouble is raised, not printed
        }
        try:
            return closing(Consumer(options))
        except KafkaException as error:
            raise ConnectionError(f"the setting 'kafka_options' cannot work: {error.args[0].str()}") from error

    def _partitions(self, consumer: Consumer, topic: str) -> Sequence[int]:
        try:
            found = consumer.list_topics(self._prefix + topic, timeout=CONNECT_S).topics[self._prefix + topic]
        except KafkaException as error:
            raise self._said(error) from error
        if found.error is not None or not found.partitions:
            raise TopicMissing(self._prefix + topic, self._address)
        return sorted(found.partitions)

    def _bounds(self, consumer: Consumer, partition: Partition) -> tuple[int, int]:
        topic, number = partition
        try:
            return bounds(consumer, self._prefix + topic, number)
        except KafkaException as error:
            raise self._said(error) from error

    def _said(self, error: KafkaException) -> ConnectionError:
        known = translated(error, self._address)
        if isinstance(known, ConnectionError):
            return known
        return ConnectionError(f"the broker at {self._address} refuses: {error.args[0].str()}")
