"""The topics that a broker should have, how they differ from those it has, and how to bring them about."""

import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING

from streams.settings import Settings
from streams.topics import LETTERS_SETTLED, MAX_RECORD_BYTES, TOPICS
from streams.wiring import DAY_MS

if TYPE_CHECKING:
    from confluent_kafka.admin import AdminClient, ClusterMetadata

DEAD_LETTER_MAX_BYTES = 4 * MAX_RECORD_BYTES
"""A dead letter is the original and its reason, and may compress worse than the producer's own compression did."""
DEAD_LETTER_RETENTION_MS = 14 * DAY_MS
"""Twice what its topic keeps: time to notice, fix and replay."""
SETTLED_RETENTION_MS = 3 * DEAD_LETTER_RETENTION_MS
"""What is noted about a letter must outlive it, and a broker deletes by files, of which each spans up to a week."""
TIMEOUT_S = 30.0
CONNECT_S = 5.0
"""A broker on the network answers in milliseconds; a person should not wait longer to learn that there is none."""


class ProvisioningError(Exception):
    """The broker refused; the message says what and why."""


@dataclass(frozen=True, slots=True)
class TopicSpec:
    """A topic as it should be on the broker."""

    name: str
    """With the deployment's prefix."""
    partitions: int
    replication: int
    config: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing to change on the broker, or to change by hand."""

    topic: TopicSpec
    what: str
    """`create`, `partitions`, `replication`, or the name of a topic setting."""
    current: str
    wanted: str

    @property
    def by_hand(self) -> bool:
        """Fewer partitions or other replicas: Kafka cannot, or moves data."""
        fewer = self.what == "partitions" and int(self.current) > int(self.wanted)
        return fewer or self.what == "replication"

    def __str__(self) -> str:
        if self.what == "create":
            return f"{self.topic.name}: create with {self.wanted}"
        return f"{self.topic.name}: {self.what} is {self.current}, should be {self.wanted}"


def desired(settings: Settings) -> list[TopicSpec]:
    """Every topic of the pipelines, its dead letters, and what is noted about them, with prefix and replication."""
    specs = []
    for topic in TOPICS:
        specs.append(_spec(settings, topic.name, topic.partitions, topic.retention_ms, MAX_RECORD_BYTES))
        if topic.dead_letters:
            specs.append(_spec(settings, topic.dead_letter_name, 1, DEAD_LETTER_RETENTION_MS, DEAD_LETTER_MAX_BYTES))
    settled = _spec(settings, LETTERS_SETTLED, 1, SETTLED_RETENTION_MS, MAX_RECORD_BYTES, cleanup="compact,delete")
    return [*specs, settled]


def _spec(
    settings: Settings, name: str, partitions: int, retention_ms: int, max_bytes: int, *, cleanup: str = "delete"
) -> TopicSpec:
    config = {"cleanup.policy": cleanup, "retention.ms": str(retention_ms), "max.message.bytes": str(max_bytes)}
    return TopicSpec(settings.topic_prefix + name, partitions, settings.replication, config)


def plan(settings: Settings) -> list[Difference]:
    """What `apply` would do; empty where the broker is as it should be."""
    admin = _admin(settings)
    specs = desired(settings)
    there = _metadata(admin).topics
    configs = _configs(admin, [spec.name for spec in specs if spec.name in there])
    differences = []
    for spec in specs:
        if spec.name not in there:
            wanted = f"{spec.partitions} partitions, {spec.replication} replicas"
            differences.append(Difference(spec, "create", "", wanted))
        else:
            partitions = there[spec.name].partitions
            replicas = min(len(partition.replicas) for partition in partitions.values())
            differences += _differences(spec, len(partitions), replicas, configs[spec.name])
    return differences


def _differences(spec: TopicSpec, partitions: int, replicas: int, config: Mapping[str, str]) -> list[Difference]:
    compared = {
        "partitions": (str(partitions), str(spec.partitions)),
        "replication": (str(replicas), str(spec.replication)),
        **{name: (config.get(name, ""), wanted) for name, wanted in spec.config.items()},
    }
    return [Difference(spec, what, now, wanted) for what, (now, wanted) in compared.items() if now != wanted]


def apply(settings: Settings, differences: Sequence[Difference] | None = None) -> list[Difference]:
    """Bring the differences about (by default those of `plan`); returns what is left to do by hand.

    Raises ProvisioningError. May be repeated, and run by several at once.
    """
    differences = plan(settings) if differences is None else differences
    admin = _admin(settings)
    _create(admin, [each.topic for each in differences if each.what == "create"])
    _add_partitions(admin, [each.topic for each in differences if each.what == "partitions" and not each.by_hand])
    _alter(admin, [each for each in differences if each.what in each.topic.config])
    by_hand = [each for each in differences if each.by_hand]
    _await_visible(settings, {(each.topic.name, each.what) for each in differences if each not in by_hand})
    return by_hand


def _await_visible(settings: Settings, changed: set[tuple[str, str]]) -> None:
    """The controller says yes before the brokers know, and who came right after would see the old state."""
    deadline = time.monotonic() + TIMEOUT_S
    while changed and changed & {(each.topic.name, each.what) for each in plan(settings)}:
        if time.monotonic() > deadline:
            raise ProvisioningError(f"accepted but not visible after {TIMEOUT_S:.0f} s: {sorted(changed)}")
        time.sleep(0.02)


def _create(admin: "AdminClient", specs: Sequence[TopicSpec]) -> None:
    from confluent_kafka import KafkaError
    from confluent_kafka.admin import NewTopic

    topics = [NewTopic(spec.name, spec.partitions, spec.replication, config=dict(spec.config)) for spec in specs]
    if topics:
        _settle("create", admin.create_topics(topics).items(), harmless=KafkaError.TOPIC_ALREADY_EXISTS)


def _add_partitions(admin: "AdminClient", specs: Sequence[TopicSpec]) -> None:
    from confluent_kafka.admin import NewPartitions

    if specs:
        wanted = [NewPartitions(spec.name, spec.partitions) for spec in specs]
        _settle("extend", admin.create_partitions(wanted).items())


def _alter(admin: "AdminClient", differences: Sequence[Difference]) -> None:
    from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

    resources = [
        ConfigResource(
            ResourceType.TOPIC,
            each.topic.name,
            incremental_configs=[ConfigEntry(each.what, each.wanted, incremental_operation=AlterConfigOpType.SET)],
        )
        for each in differences
    ]
    for resource in resources:  # one at a time: a request may name each topic only once
        _settle("configure", admin.incremental_alter_configs([resource]).items())


def _settle(verb: str, futures: Iterable[tuple[object, Future[None]]], harmless: int | None = None) -> None:
    from confluent_kafka import KafkaException

    for about, future in futures:
        try:
            future.result(TIMEOUT_S)
        except KafkaException as error:
            if error.args[0].code() != harmless:
                raise ProvisioningError(f"cannot {verb} {str(about)!r}: {error.args[0].str()}") from error


def _admin(settings: Settings) -> "AdminClient":
    from confluent_kafka import KafkaException
    from confluent_kafka.admin import AdminClient

    try:
        return AdminClient({"log_level": 2, **settings.kafka_config})  # connection trouble is raised, not printed
    except KafkaException as error:
        raise ProvisioningError(f"the setting 'kafka_options' cannot work: {error.args[0].str()}") from error


def _metadata(admin: "AdminClient") -> "ClusterMetadata":
    from confluent_kafka import KafkaException

    try:
        return admin.list_topics(timeout=CONNECT_S)
    except KafkaException as error:
        raise ProvisioningError(f"no broker answers: {error.args[0].str()}") from error


def _configs(admin: "AdminClient", names: Sequence[str]) -> dict[str, dict[str, str]]:
    from confluent_kafka import KafkaException
    from confluent_kafka.admin import ConfigResource, ResourceType

    if not names:
        return {}
    found = {}
    for resource, future in admin.describe_configs(
        [ConfigResource(ResourceType.TOPIC, name) for name in names]
    ).items():
        try:
            found[resource.name] = {name: entry.value for name, entry in future.result(TIMEOUT_S).items()}
        except KafkaException as error:
            raise ProvisioningError(f"cannot describe {resource.name!r}: {error.args[0].str()}") from error
    return found
