"""`headwater topics`: what it says about a broker, and what it does to one."""

import json
import time
import uuid

import pytest
from confluent_kafka.admin import AdminClient, NewTopic
from typer.testing import CliRunner, Result

from streams.cli import app
from streams.local.listeners import free_ports
from streams.settings import Settings
from streams.topics import TOPICS

EXPECTED = len(TOPICS) + sum(topic.dead_letters for topic in TOPICS) + 1
"""With what is noted about dead letters."""


def headwater(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


@pytest.fixture
def prefix(stack: Settings, monkeypatch: pytest.MonkeyPatch) -> str:
    """Commands speak to the test broker, about topics of this test alone."""
    prefix = f"topics-{uuid.uuid4().hex[:8]}-"
    monkeypatch.setenv("HEADWATER_KAFKA", stack.kafka_url)
    monkeypatch.setenv("HEADWATER_TOPIC_PREFIX", prefix)
    return prefix


def create(stack: Settings, name: str, partitions: int, config: dict[str, str] | None = None) -> None:
    topic = NewTopic(name, partitions, 1, config=config or {})
    admin = AdminClient({**stack.kafka_config})  # its end would end its requests
    admin.create_topics([topic])[name].result(10)
    while name not in admin.list_topics(timeout=10).topics:
        time.sleep(0.02)


def test_no_broker_is_said_in_one_line_with_the_remedy() -> None:
    address = f"127.0.0.1:{free_ports(1)[0]}"
    result = headwater("--kafka", address, "topics", "check")
    assert result.exit_code == 3
    assert address in result.output
    assert "`headwater up`" in result.output
    assert len(result.output.splitlines()) == 1


@pytest.mark.stack
def test_plan_apply_check(prefix: str) -> None:
    assert headwater("topics", "check").exit_code == 1
    planned = headwater("topics", "plan")
    assert planned.exit_code == 0
    assert f"{prefix}documents-dlq: create with" in planned.output
    assert len(planned.output.splitlines()) == EXPECTED
    assert headwater("topics", "apply").exit_code == 0
    assert headwater("topics", "check").exit_code == 0
    assert headwater("topics", "apply").output == "nothing to do\n"


@pytest.mark.stack
def test_drift_is_found_and_mended(prefix: str, stack: Settings) -> None:
    create(stack, f"{prefix}documents", 2, {"retention.ms": "60000"})
    found = headwater("topics", "check").output
    assert f"{prefix}documents: partitions is 2, should be 8" in found
    assert f"{prefix}documents: retention.ms is 60000, should be" in found
    assert headwater("topics", "apply").exit_code == 0
    assert headwater("topics", "check").exit_code == 0


@pytest.mark.stack
def test_more_partitions_warn_about_the_order_of_keys(prefix: str, stack: Settings) -> None:
    create(stack, f"{prefix}documents", 2)
    assert "keys move to other partitions" in headwater("topics", "apply").output


@pytest.mark.stack
def test_fewer_partitions_are_left_to_a_person(prefix: str, stack: Settings) -> None:
    create(stack, f"{prefix}cancellations", 3)
    result = headwater("topics", "apply")
    assert result.exit_code == 1
    assert f"{prefix}cancellations: partitions is 3, should be 1" in result.output
    assert "left to do by hand" in result.output
    (left,) = json.loads(headwater("topics", "plan", "--json").output)
    assert left == {
        "topic": f"{prefix}cancellations",
        "what": "partitions",
        "current": "3",
        "wanted": "1",
        "by_hand": True,
    }
