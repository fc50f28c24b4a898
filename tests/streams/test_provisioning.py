"""Topics on a real broker: planned, created, compared, set right."""

import time
import uuid
from collections.abc import Iterator

import pytest
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, NewTopic, ResourceType

from streams import provisioning
from streams.settings import Settings
from streams.topics import DOCUMENTS, LETTERS_SETTLED, MAX_RECORD_BYTES, TOPICS


@pytest.fixture
def prefixed(stack: Settings) -> Iterator[Settings]:
    """Settings with a topic prefix that no other test has; its topics are deleted afterwards."""
    prefix = f"{uuid.uuid4().hex[:8]}-"
    yield stack.model_copy(update={"topic_prefix": prefix})
    admin = AdminClient({**stack.kafka_config})
    mine = [name for name in admin.list_topics(timeout=10).topics if name.startswith(prefix)]
    for future in admin.delete_topics(mine).values() if mine else ():
        future.result(30)


def test_every_topic_and_its_dead_letters_are_desired() -> None:
    specs = {spec.name: spec for spec in provisioning.desired(Settings(topic_prefix="p-", replication=3))}
    assert len(specs) == len(TOPICS) + sum(topic.dead_letters for topic in TOPICS) + 1
    documents, dead = specs["p-documents"], specs["p-documents-dlq"]
    assert (documents.partitions, documents.replication) == (DOCUMENTS.partitions, 3)
    assert documents.config["max.message.bytes"] == str(MAX_RECORD_BYTES)
    assert int(dead.config["max.message.bytes"]) > MAX_RECORD_BYTES
    assert int(dead.config["retention.ms"]) > DOCUMENTS.retention_ms
    settled = specs[f"p-{LETTERS_SETTLED}"]
    assert settled.config["cleanup.policy"] == "compact,delete"
    assert int(settled.config["retention.ms"]) > int(dead.config["retention.ms"])


@pytest.mark.stack
def test_missing_topics_are_planned_created_and_then_as_desired(prefixed: Settings) -> None:
    planned = provisioning.plan(prefixed)
    assert {each.what for each in planned} == {"create"}
    assert [each.topic for each in planned] == provisioning.desired(prefixed)
    assert provisioning.apply(prefixed) == []
    assert provisioning.plan(prefixed) == []


@pytest.mark.stack
def test_applying_twice_changes_nothing_and_fails_nowhere(prefixed: Settings) -> None:
    planned = provisioning.plan(prefixed)
    provisioning.apply(prefixed, planned)
    provisioning.apply(prefixed, planned)
    assert provisioning.plan(prefixed) == []


@pytest.mark.stack
def test_a_changed_setting_is_found_and_set_right(prefixed: Settings) -> None:
    provisioning.apply(prefixed)
    name = prefixed.topic_prefix + "documents"
    change = ConfigEntry("retention.ms", "1000", incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, name, incremental_configs=[change])
    admin = AdminClient({**prefixed.kafka_config})
    for future in admin.incremental_alter_configs([resource]).values():
        future.result(30)
    while not (differences := provisioning.plan(prefixed)):
        time.sleep(0.02)
    (difference,) = differences
    assert str(difference) == f"{name}: retention.ms is 1000, should be {DOCUMENTS.retention_ms}"
    assert provisioning.apply(prefixed) == []
    assert provisioning.plan(prefixed) == []


@pytest.mark.stack
def test_partitions_are_added_but_never_taken_away(prefixed: Settings) -> None:
    names = [prefixed.topic_prefix + name for name in ("documents", "chunks")]
    admin = AdminClient({**prefixed.kafka_config})
    for future in admin.create_topics([NewTopic(names[0], 2, 1), NewTopic(names[1], 12, 1)]).values():
        future.result(30)
    while not set(names) <= set(admin.list_topics(timeout=10).topics):
        time.sleep(0.02)
    left = provisioning.apply(prefixed)
    assert [(each.topic.name, each.what, each.current) for each in left] == [(names[1], "partitions", "12")]
    assert provisioning.plan(prefixed) == left


def test_a_broker_that_is_not_there_is_an_error_with_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provisioning, "CONNECT_S", 0.2)
    with pytest.raises(provisioning.ProvisioningError, match="no broker answers"):
        provisioning.plan(Settings(kafka="127.0.0.1:1"))
