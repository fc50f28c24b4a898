"""Guided decoding that cannot invent: the model only points at sentences of the evidence, by number."""

from collections.abc import Iterable, Sequence
from typing import Any

import orjson

from processors.ports import Fragment
from processors.prompts import Quotable
from schemas import DocumentId, Passage

MAX_QUOTES = 3
SAMPLE = Passage(
    document_id=DocumentId("sample"),
    version=1,
    ordinal=0,
    title="",
    text="The tower is tall. It was built in 1889.",
    page=None,
    section=(),
    start=0,
    end=40,
    metadata={},
    scores={},
)
"""Evidence to find out by whether a server guides at all."""


def schema(quotable: Sequence[Quotable]) -> dict[str, Any]:
    """The `response_format` of a request: OpenAI's shape, which vLLM, llama.cpp and TGI 3 take, too."""
    numbers = {"type": "integer", "enum": list(range(1, len(quotable) + 1))}
    chosen = {
        "type": "object",
        "properties": {"sentences": {"type": "array", "items": numbers, "maxItems": MAX_QUOTES}},
        "required": ["sentences"],
        "additionalProperties": False,
    }
    return {"type": "json_schema", "json_schema": {"name": "quotes", "strict": True, "schema": chosen}}


def chosen(text: str, quotable: Sequence[Quotable]) -> list[Quotable]:
    """The sentences that an answer points at, in reading order. Raises ValueError where it was not guided."""
    try:
        numbers = orjson.loads(text)["sentences"]
        places = {number - 1 for number in numbers}
    except (KeyError, TypeError) as error:  # orjson.JSONDecodeError is a ValueError
        raise ValueError("another shape than the schema's") from error
    if not all(0 <= place < len(quotable) for place in places):
        raise ValueError("numbers beyond the schema's")
    return [quotable[place] for place in sorted(places)]


def fragments(quotes: Iterable[Quotable]) -> list[Fragment]:
    """The quotes as pieces of an answer, each with its passage."""
    pieces: list[Fragment] = []
    for quote in quotes:
        gap = "" if not pieces else " " if pieces[-1].passage == quote.passage else "\n\n"
        pieces.append(Fragment(text=gap + quote.text, passage=quote.passage))
    return pieces
