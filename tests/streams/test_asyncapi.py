"""The AsyncAPI document is complete, hangs together, and is what the code says."""

from collections.abc import Iterator
from typing import Any

import orjson
import pytest
from jsonschema import Draft202012Validator

from schemas import EVENTS, QueryAsked, contract, decode
from streams import asyncapi
from streams.runtime.deadletters import Letter
from streams.topics import TOPICS

ROOT_FIELDS = {"asyncapi", "info", "defaultContentType", "channels", "operations", "components"}
"""A subset of what section "AsyncAPI Object" of the specification, version 3.0.0, allows."""


@pytest.fixture(scope="module")
def described() -> dict[str, Any]:
    rendered: dict[str, Any] = orjson.loads(asyncapi.render())
    return rendered


def references(node: Any) -> Iterator[str]:
    match node:
        case {"$ref": str(pointer)}:
            yield pointer
        case dict():
            for value in node.values():
                yield from references(value)
        case list():
            for value in node:
                yield from references(value)


def resolved(root: Any, pointer: str) -> Any:
    assert pointer.startswith("#/"), f"{pointer!r} would have to be fetched"
    for part in pointer.removeprefix("#/").split("/"):
        root = root[part]
    return root


def test_the_root_has_what_the_specification_asks_for(described: dict[str, Any]) -> None:
    assert set(described) == ROOT_FIELDS
    assert described["asyncapi"] == "3.0.0"
    assert {"title", "version"} <= set(described["info"])


def test_every_reference_leads_somewhere_inside_the_document(described: dict[str, Any]) -> None:
    pointers = set(references(described))
    assert pointers
    for pointer in pointers:
        assert resolved(described, pointer)


def test_every_topic_and_its_dead_letters_are_channels(described: dict[str, Any]) -> None:
    topics = {topic.name for topic in TOPICS}
    letters = {topic.dead_letter_name for topic in TOPICS if topic.dead_letters}
    assert set(described["channels"]) == topics | letters
    for name, channel in described["channels"].items():
        assert channel["address"] == name
        assert channel["messages"]


def test_every_operation_acts_on_a_channel(described: dict[str, Any]) -> None:
    for operation in described["operations"].values():
        assert operation["action"] in ("send", "receive")
        assert resolved(described, operation["channel"]["$ref"])["address"]


def test_a_question_says_where_its_reply_goes(described: dict[str, Any]) -> None:
    reply = described["operations"]["receive-queries"]["reply"]
    location = reply["address"]["location"]
    assert location == "$message.payload#/reply_to/topic"
    example = orjson.loads(contract.examples(QueryAsked)[""])
    assert resolved(example, location.removeprefix("$message.payload"))


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.__name__)
def test_every_event_is_a_message_whose_examples_fit_its_schema(event: Any, described: dict[str, Any]) -> None:
    message = described["components"]["messages"][event.__name__]
    assert message["name"] == event.ce_type
    assert message["examples"]
    schema = {"$ref": message["payload"]["$ref"], "components": described["components"]}
    validator = Draft202012Validator(schema)
    for example in message["examples"]:
        validator.validate(example["payload"])


@pytest.mark.skipif(not asyncapi.DOCUMENT.parent.is_dir(), reason="an installed wheel has no docs")
def test_the_committed_document_is_fresh() -> None:
    assert asyncapi.is_fresh(), "run `headwater schemas export`"


def test_two_different_schemas_never_share_a_name(described: dict[str, Any]) -> None:
    assert {event.__name__ for event in EVENTS} <= set(described["components"]["schemas"])


def test_dead_letter_headers_are_those_that_the_runtime_writes() -> None:
    from datetime import UTC, datetime

    from streams.runtime.records import Record

    record = Record(topic="documents", partition=0, offset=7, key=None, value=b"", headers=(), timestamp_ms=0)
    letter = Letter(
        topic="documents-dlq",
        key=None,
        value=b"",
        headers=(),
        stage="chunk",
        code="schema",
        detail="",
        attempts=1,
        source=record,
        time=datetime.now(UTC),
        trace="0" * 32,
    )
    assert [name for name, _ in letter.record().headers] == list(asyncapi.DEAD_LETTER_HEADERS)


def test_headers_are_those_that_the_runtime_writes() -> None:
    from datetime import UTC, datetime

    from streams.runtime.headers import outgoing

    question = decode(contract.examples(QueryAsked)[""], QueryAsked.ce_type, (QueryAsked,))
    written = outgoing(
        question,
        event_id="1",
        source="/test",
        time=datetime.now(UTC),
        trace={"traceparent": "00-1-2-01", "tracestate": "a=b"},
        timings={"retrieve": 1.0},
        bulk=True,
        history=b"[]",
    )
    assert sorted(name for name, _ in written) == sorted(asyncapi.HEADERS)
