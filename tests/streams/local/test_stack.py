"""The stack of the fixture is the stack that users run."""

import pytest
from confluent_kafka.admin import AdminClient

from streams import provisioning
from streams.local import kafka, llm, milvus, state
from streams.settings import Settings

pytestmark = pytest.mark.stack


def test_every_part_answers_a_real_request(stack: Settings) -> None:
    assert kafka.answers(stack.kafka_url)
    assert milvus.answers(f"127.0.0.1:{stack.local.milvus_port}")
    assert llm.answers(stack.local.llm_port)


def test_topics_are_as_the_table_says(stack: Settings) -> None:
    there = AdminClient({**stack.kafka_config}).list_topics(timeout=10).topics
    assert {spec.name for spec in provisioning.desired(stack)} <= set(there)
    assert provisioning.plan(stack) == []


def test_the_state_file_names_every_part(stack: Settings) -> None:
    seen = state.read(stack.home)
    assert seen is not None
    assert {name: part.phase for name, part in seen.parts.items()} == dict.fromkeys(
        ("kafka", "topics", "milvus", "llm"), "ready"
    )
    assert state.running(stack.home)
