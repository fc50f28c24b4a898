"""The wire contract as an AsyncAPI 3.0 document, from the topics, the wiring and the events."""

from collections.abc import Mapping
from pathlib import Path

import orjson

from schemas import EVENTS, Event, contract
from streams.provisioning import DEAD_LETTER_MAX_BYTES, DEAD_LETTER_RETENTION_MS
from streams.topics import ANSWERS, CANCELLATIONS, DOCUMENTS, MAX_RECORD_BYTES, QUERIES, RECEIPTS, TOPICS
from streams.wiring import Topic

Json = dict[str, object]

DOCUMENT = Path(__file__).parent.parent / "docs" / "asyncapi.json"
"""Where the repository keeps it."""

VERSION = "1.0.0"
"""Of the contract, not of the package: the first digit counts breaking changes, the second additions."""

WRITTEN_BY_CALLERS: tuple[Topic[Event], ...] = (DOCUMENTS, QUERIES, CANCELLATIONS)
READ_BY_CALLERS: tuple[Topic[Event], ...] = (RECEIPTS, ANSWERS)

HEADERS: Mapping[str, str] = {
    "ce_specversion": "CloudEvents version, `1.0`.",
    "ce_id": "Unique within `ce_source`; the same when the same record is processed again.",
    "ce_type": "Which event this is. May be left out only where the topic carries one type of event.",
    "ce_source": "Who wrote the record, as a URI reference.",
    "ce_time": "When, RFC 3339.",
    "ce_subject": "What it is about: the record's key.",
    "ce_tenant": "Whose it is: tenants share a stage's work fairly. Left out: the part of the key before `/`.",
    "content-type": "`application/json`.",
    "traceparent": "W3C trace context: the span that caused the record.",
    "tracestate": "W3C trace context: what vendors add.",
    "hw-lane": "`bulk` on an import that nobody waits for document by document; carried on by stages.",
    "hw-history": "JSON list, earlier failures of a replayed record; carried on by stages.",
    "hw-timings": "JSON object, milliseconds per stage passed; written by stages, copied to the final event.",
}

DEAD_LETTER_HEADERS: Mapping[str, str] = {
    "dlq-stage": "The stage that could not process the record.",
    "dlq-code": "Why, as a word that a program can compare.",
    "dlq-detail": "Why, for a person: what is wrong with which input, and what to do.",
    "dlq-attempts": "How often the stage tried.",
    "dlq-source-topic": "Where the record was read.",
    "dlq-source-partition": "Its partition there.",
    "dlq-source-offset": "Its offset there.",
    "dlq-time": "When it was put aside, RFC 3339.",
    "dlq-trace": "Trace id, 32 hex digits.",
}


def document(version: str) -> Json:
    """The AsyncAPI document of release `version`; topics without the deployment's prefix."""
    channels = {topic.name: _channel(topic) for topic in TOPICS}
    channels |= {topic.dead_letter_name: _dead_letters(topic) for topic in TOPICS if topic.dead_letters}
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Headwater",
            "version": version,
            "description": "Documents in, cited answers out. docs/wire.md says in words what this document cannot.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "channels": channels,
        "operations": _operations(),
        "components": {
            "messages": {event.__name__: _message(event) for event in EVENTS} | {"DeadLetter": _dead_letter()},
            "schemas": _schemas(),
        },
    }


def export(path: Path = DOCUMENT) -> bool:
    """Write the document; whether that changed the file."""
    if is_fresh(path):
        return False
    path.write_bytes(render())
    return True


def is_fresh(path: Path = DOCUMENT) -> bool:
    return path.exists() and path.read_bytes() == render()


def render() -> bytes:
    """The document as it stands in its file."""
    return orjson.dumps(document(VERSION), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def _channel(topic: Topic[Event]) -> Json:
    return {
        "address": topic.name,
        "description": f"{topic.purpose} Key: {topic.key}.",
        "messages": {event.__name__: {"$ref": f"#/components/messages/{event.__name__}"} for event in topic.events},
        "bindings": _binding(topic.partitions, topic.retention_ms, MAX_RECORD_BYTES),
    }


def _dead_letters(topic: Topic[Event]) -> Json:
    return {
        "address": topic.dead_letter_name,
        "description": f"Records of `{topic.name}` that can never be processed, byte for byte, with the reason.",
        "messages": {"DeadLetter": {"$ref": "#/components/messages/DeadLetter"}},
        "bindings": _binding(1, DEAD_LETTER_RETENTION_MS, DEAD_LETTER_MAX_BYTES),
    }


def _binding(partitions: int, retention_ms: int, max_message_bytes: int) -> Json:
    configuration = {
        "cleanup.policy": ["delete"],
        "retention.ms": retention_ms,
        "max.message.bytes": max_message_bytes,
    }
    return {"kafka": {"partitions": partitions, "topicConfiguration": configuration, "bindingVersion": "0.5.0"}}


def _operations() -> Json:
    """What callers may do, seen from Headwater as AsyncAPI wants it: it receives what a caller sends."""
    received = {f"receive-{topic.name}": _operation("receive", topic) for topic in WRITTEN_BY_CALLERS}
    sent = {f"send-{topic.name}": _operation("send", topic) for topic in READ_BY_CALLERS}
    received[f"receive-{QUERIES.name}"]["reply"] = {
        "address": {
            "location": "$message.payload#/reply_to/topic",
            "description": "The caller's topic; the record goes to partition `reply_to.partition` of it.",
        },
        "channel": _to(ANSWERS),
    }
    return {**received, **sent}


def _operation(action: str, topic: Topic[Event]) -> Json:
    return {"action": action, "channel": _to(topic), "summary": topic.purpose}


def _to(topic: Topic[Event]) -> Json:
    return {"$ref": f"#/channels/{topic.name}"}


def _message(event: type[Event]) -> Json:
    topic = next(topic for topic in TOPICS if event in topic.events)
    schema = contract.json_schema(event)
    return {
        "name": event.ce_type,
        "title": event.__name__,
        "summary": schema["description"],
        "contentType": "application/json",
        "headers": {"$ref": "#/components/schemas/Headers"},
        "payload": {"$ref": f"#/components/schemas/{event.__name__}"},
        "bindings": {"kafka": {"key": {"type": "string", "description": topic.key}, "bindingVersion": "0.5.0"}},
        "examples": [
            {"name": case or "plain", "payload": orjson.loads(value)}
            for case, value in contract.examples(event).items()
        ],
    }


def _dead_letter() -> Json:
    return {
        "name": "dead-letter",
        "title": "DeadLetter",
        "summary": "A record that can never be processed: its key, value and headers, and `dlq-*` headers beside them.",
        "headers": {"$ref": "#/components/schemas/DeadLetterHeaders"},
        "payload": {},
    }


def _schemas() -> Json:
    """Every event and every part of one by its class name; references between them point here."""
    schemas: Json = {}
    for event in EVENTS:
        schema = contract.json_schema(event)
        parts = schema.pop("$defs", {})
        del schema["$schema"], schema["$id"]
        for name, part in (parts | {event.__name__: schema}).items():
            here = _pointed_here(part)
            assert schemas.setdefault(name, here) == here, f"two different schemas are named {name!r}"
    return schemas | {"Headers": _headers(), "DeadLetterHeaders": _dead_letter_headers()}


def _pointed_here(schema: object) -> object:
    match schema:
        case dict():
            return {
                name: value.replace("#/$defs/", "#/components/schemas/") if name == "$ref" else _pointed_here(value)
                for name, value in schema.items()
            }
        case list():
            return [_pointed_here(value) for value in schema]
        case _:
            return schema


def _headers() -> Json:
    return {"type": "object", "properties": _described(HEADERS)}


def _dead_letter_headers() -> Json:
    return {"type": "object", "properties": _described(DEAD_LETTER_HEADERS), "required": list(DEAD_LETTER_HEADERS)}


def _described(headers: Mapping[str, str]) -> Json:
    return {name: {"type": "string", "description": words} for name, words in headers.items()}
