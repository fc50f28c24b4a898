"""How far the workers are behind: records that wait per consumer group."""

from collections.abc import Mapping
from typing import Any

from streams.settings import Settings

TIMEOUT_S = 3.0


def lags(settings: Settings) -> Mapping[str, int | None]:
    """Records that wait, by consumer group; None where a group has committed nothing yet. Empty without a broker."""
    from confluent_kafka import ConsumerGroupTopicPartitions, KafkaException
    from confluent_kafka.admin import AdminClient

    admin = AdminClient(settings.kafka_config | {"log_level": 0})
    prefix = f"{settings.topic_prefix}headwater-"
    try:
        listed = admin.list_consumer_groups(request_timeout=TIMEOUT_S).result().valid
        names = sorted(group.group_id for group in listed if group.group_id.startswith(prefix))
        committed = {}
        for name in names:  # a request may name only one group
            (future,) = admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(name)]).values()
            committed[name] = future.result(TIMEOUT_S).topic_partitions
        ends = _ends(admin, [partition for partitions in committed.values() for partition in partitions])
    except (KafkaException, TimeoutError):
        return {}
    return {
        name.removeprefix(prefix): sum(max(0, ends[each.topic, each.partition] - each.offset) for each in partitions)
        if partitions
        else None
        for name, partitions in committed.items()
    }


def _ends(admin: Any, partitions: list[Any]) -> Mapping[tuple[str, int], int]:
    from confluent_kafka import TopicPartition
    from confluent_kafka.admin import OffsetSpec

    if not partitions:
        return {}
    asked = {TopicPartition(each.topic, each.partition): OffsetSpec.latest() for each in partitions}  # type: ignore[no-untyped-call]  # missing in its stubs
    futures = admin.list_offsets(asked, request_timeout=TIMEOUT_S)
    return {(each.topic, each.partition): future.result(TIMEOUT_S).offset for each, future in futures.items()}
