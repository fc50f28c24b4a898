"""How far the workers are behind: records that wait per consumer group."""

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

from streams.settings import Settings

if TYPE_CHECKING:
    from confluent_kafka import TopicPartition
    from confluent_kafka.admin import AdminClient, OffsetSpec

TIMEOUT_S = 3.0

Offsets = Mapping[tuple[str, int], int]
"""By topic and partition."""


def lags(settings: Settings) -> Mapping[str, int | None] | None:
    """Records that wait, by consumer group, None where one has committed nothing yet; None without a broker."""
    from confluent_kafka import ConsumerGroupTopicPartitions, KafkaException
    from confluent_kafka.admin import AdminClient

    admin = AdminClient({**settings.kafka_config, "log_level": 0})
    prefix = f"{settings.topic_prefix}headwater-"
    try:
        there = _existing(admin)
        committed: dict[str, Sequence[TopicPartition]] = dict.fromkeys(_groups(settings), ())
        for name in filter(lambda name: prefix + name in there, committed):  # a request may name only one group
            (future,) = admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(prefix + name)]).values()
            committed[name] = future.result(TIMEOUT_S).topic_partitions
        topics = {each.topic for partitions in committed.values() for each in partitions}
        first, ends = _bounds(admin, topics)
    except (KafkaException, TimeoutError):
        return None
    return {name: _waiting(partitions, first, ends) if partitions else None for name, partitions in committed.items()}


def _groups(settings: Settings) -> Sequence[str]:
    """The segments of the settings: groups of a former segmentation fall behind for ever and tell nobody anything."""
    parts = [*settings.ingest_segments.split("|"), *settings.query_segments.split("|")]
    return sorted("-".join(stage.strip() for stage in part.split("+")) for part in parts)


def _existing(admin: "AdminClient") -> Collection[str]:
    """All groups. To ask a broker that is still loading a group for its offsets ends the process: librdkafka crashes.

    Raises KafkaException while the broker loads them.
    """
    from confluent_kafka import KafkaException

    listed = admin.list_consumer_groups(request_timeout=TIMEOUT_S).result(2 * TIMEOUT_S)
    for error in listed.errors:
        raise KafkaException(error)
    return {group.group_id for group in listed.valid}


def _waiting(committed: Sequence["TopicPartition"], first: Offsets, ends: Offsets) -> int:
    """Records behind the committed offsets, and all those of partitions of which nothing is committed yet."""
    done = {(each.topic, each.partition): each.offset for each in committed}
    topics = {topic for topic, _ in done}
    return sum(max(0, end - done.get(where, first[where])) for where, end in ends.items() if where[0] in topics)


def _bounds(admin: "AdminClient", topics: Collection[str]) -> tuple[Offsets, Offsets]:
    """The first offset and the next one of every partition of these topics that exist."""
    from confluent_kafka.admin import OffsetSpec

    there = admin.list_topics(timeout=TIMEOUT_S).topics
    partitions = [(name, number) for name in topics if name in there for number in there[name].partitions]
    # Its stubs type neither of the two.
    first, latest = OffsetSpec.earliest(), OffsetSpec.latest()  # type: ignore[no-untyped-call]
    return _offsets(admin, partitions, first), _offsets(admin, partitions, latest)


def _offsets(admin: "AdminClient", partitions: Sequence[tuple[str, int]], spec: "OffsetSpec") -> Offsets:
    from confluent_kafka import TopicPartition

    if not partitions:
        return {}
    asked = {TopicPartition(topic, partition): spec for topic, partition in partitions}
    futures = admin.list_offsets(asked, request_timeout=TIMEOUT_S)
    return {(each.topic, each.partition): future.result(TIMEOUT_S).offset for each, future in futures.items()}
