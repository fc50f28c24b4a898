"""Events to bytes and back: orjson out, pydantic in."""

import base64
from codecs import BOM_UTF8
from typing import TypeVar

import orjson
from pydantic import TypeAdapter, ValidationError

from schemas.registry import EVENTS, Event

E = TypeVar("E", bound=Event)

MAX_SHOWN_CHARS = 64
"""As long as a tenant's name may be: identifiers are shown in full, texts are not."""

ADAPTERS: dict[str, TypeAdapter[Event]] = {event.ce_type: TypeAdapter(event) for event in EVENTS}


class SchemaError(ValueError):
    """The record is not what its topic's contract says; the message names what is wrong and where."""


def encode(event: Event) -> bytes:
    """UTF-8 JSON of one event, byte strings as base64.

    Raises SchemaError where a text cannot be written as UTF-8 (a lone surrogate).
    """
    try:
        return orjson.dumps(event, default=_base64)
    except orjson.JSONEncodeError as error:
        raise SchemaError(f"{type(event).__name__} cannot be written as JSON: {error}") from error


def decode(value: bytes | None, ce_type: str | None, expected: tuple[type[E], ...]) -> E:
    """The event in a record's value, one of the `expected` classes, chosen by its `ce_type` header.

    Without that header the value must fit the only expected class. Unknown fields are ignored.
    Raises SchemaError.
    """
    known = {event.ce_type: event for event in expected}
    if ce_type is None and len(known) == 1:
        ce_type = next(iter(known))
    if ce_type is None:
        raise SchemaError(f"no ce_type header; this topic carries {', '.join(known)}")
    if ce_type not in known:
        raise SchemaError(f"unknown event type {ce_type[:MAX_SHOWN_CHARS]!r}; this topic carries {', '.join(known)}")
    if value is None:
        raise SchemaError(f"{ce_type}: the record has no value")
    if value.startswith(BOM_UTF8):
        raise SchemaError(f"{ce_type}: Invalid JSON: it starts with a byte order mark; write UTF-8 without one")
    try:
        event = ADAPTERS[ce_type].validate_json(value, strict=True)
    except ValidationError as error:
        raise SchemaError(f"{ce_type}: {_first(error)}") from None
    assert isinstance(event, known[ce_type])  # what its adapter makes
    return event


def _base64(value: object) -> str:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    raise TypeError(f"{type(value).__name__} has no JSON form")


def _first(error: ValidationError) -> str:
    problems = error.errors(include_url=False, include_context=False)
    first = problems[0]
    where = ".".join(str(part)[:MAX_SHOWN_CHARS] for part in first["loc"])
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return f"{where + ': ' if where else ''}{first['msg']}{_shown(first['input'])}{more}"


def _shown(value: object) -> str:
    """The offending value where it is short; never a piece of a document."""
    short = isinstance(value, bool | int | float) or (isinstance(value, str) and len(value) <= MAX_SHOWN_CHARS)
    return f", not {value!r}" if short else ""
