"""Which changes of a schema break a reader or a writer."""

import copy
from collections.abc import Callable
from typing import Any

import pytest

from schemas.compatibility import Schema, changes

BASE: Any = {
    "$id": "urn:headwater:event:test.v1",
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 10, "pattern": "^a"},
        "size": {"type": "integer", "minimum": 1},
        "mode": {"anyOf": [{"type": "string", "enum": ["fast", "slow"]}, {"type": "null"}], "default": None},
        "tags": {"type": "array", "items": {"type": "string"}, "default": []},
        "source": {"oneOf": [{"$ref": "#/$defs/Text"}, {"$ref": "#/$defs/Bytes"}]},
        "scores": {
            "type": "object",
            "additionalProperties": {"type": "number"},
            "propertyNames": {"maxLength": 10},
        },
    },
    "required": ["name", "size", "source"],
    "$defs": {
        "Text": {"title": "Text", "type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]},
        "Bytes": {
            "title": "Bytes",
            "type": "object",
            "properties": {"data": {"type": "string", "contentEncoding": "base64"}, "kind": {"const": "bytes"}},
            "required": ["data"],
        },
    },
}

Edit = Callable[[Any], object]
BREAKING: dict[str, Edit] = {
    "name: the field was removed": lambda s: s["properties"].pop("name"),
    "extra: a required field was added: give it a default": lambda s: (
        s["properties"].update(extra={"type": "string"}),
        s["required"].append("extra"),
    ),
    "tags: the field became required": lambda s: s["required"].append("tags"),
    "size: the field may now be missing": lambda s: s["required"].remove("size"),
    "size: integer is no longer allowed (now string)": lambda s: s["properties"]["size"].update(type="string"),
    "size: minimum was 1 and is 2": lambda s: s["properties"]["size"].update(minimum=2),
    "size: maximum was None and is 9": lambda s: s["properties"]["size"].update(maximum=9),
    "name: maxLength was 10 and is 5": lambda s: s["properties"]["name"].update(maxLength=5),
    "name: pattern was '^a' and is '^b'": lambda s: s["properties"]["name"].update(pattern="^b"),
    "name: only 'x' is allowed now": lambda s: s["properties"]["name"].update(enum=["x"]),
    "mode: 'slow' is no longer allowed": lambda s: s["properties"]["mode"]["anyOf"][0].update(enum=["fast"]),
    "mode: null is no longer allowed (now string)": lambda s: s["properties"]["mode"]["anyOf"].pop(),
    "tags: the default changed from [] to ['x']": lambda s: s["properties"]["tags"].update(default=["x"]),
    "tags[]: string is no longer allowed (now integer)": lambda s: s["properties"]["tags"].update(
        items={"type": "integer"}
    ),
    "scores{}: number is no longer allowed (now string)": lambda s: s["properties"]["scores"].update(
        additionalProperties={"type": "string"}
    ),
    "scores<name>: maxLength was 10 and is 5": lambda s: s["properties"]["scores"]["propertyNames"].update(maxLength=5),
    "tags<name>: pattern was None and is '^a'": lambda s: s["properties"]["tags"].update(
        propertyNames={"pattern": "^a"}
    ),
    "source: Bytes is no longer allowed (now Text)": lambda s: s["properties"]["source"]["oneOf"].pop(),
    "source.Text.text: the field was removed": lambda s: s["$defs"]["Text"].update(properties={}, required=[]),
    "source.Bytes.data: contentEncoding was 'base64' and is 'base16'": lambda s: s["$defs"]["Bytes"]["properties"][
        "data"
    ].update(contentEncoding="base16"),
    "source.Bytes.kind: 'bytes' is no longer allowed": lambda s: s["$defs"]["Bytes"]["properties"]["kind"].update(
        const="octets"
    ),
    "the event: its type changed from 'urn:headwater:event:test.v1' to 'urn:headwater:event:test.v2'": lambda s: (
        s.update({"$id": "urn:headwater:event:test.v2"})
    ),
}
COMPATIBLE: dict[str, Edit] = {
    "extra: an optional field was added": lambda s: s["properties"].update(extra={"type": "string", "default": ""}),
    "size: minimum was 1 and is 0": lambda s: s["properties"]["size"].update(minimum=0),
    "name: maxLength was 10 and is None": lambda s: s["properties"]["name"].pop("maxLength"),
    "name: pattern '^a' was dropped": lambda s: s["properties"]["name"].pop("pattern"),
    "scores<name>: maxLength was 10 and is 20": lambda s: s["properties"]["scores"]["propertyNames"].update(
        maxLength=20
    ),
    "mode: 'medium' is allowed as well": lambda s: s["properties"]["mode"]["anyOf"][0]["enum"].append("medium"),
    "size: null is allowed as well": lambda s: s["properties"].update(
        size={"anyOf": [{"type": "integer", "minimum": 1}, {"type": "null"}]}
    ),
}


def edited(edit: Edit) -> Schema:
    schema: Schema = copy.deepcopy(BASE)
    edit(schema)
    return schema


def test_nothing_changed_yields_nothing() -> None:
    assert changes(BASE, copy.deepcopy(BASE)) == []


def test_words_do_not_count() -> None:
    assert changes(BASE, edited(lambda s: s["properties"]["name"].update(description="Called so."))) == []


@pytest.mark.parametrize("says", BREAKING)
def test_breaking(says: str) -> None:
    found = [str(change) for change in changes(BASE, edited(BREAKING[says])) if change.effect == "breaking"]
    assert any(line.startswith(says) for line in found), found


@pytest.mark.parametrize("says", COMPATIBLE)
def test_compatible(says: str) -> None:
    found = changes(BASE, edited(COMPATIBLE[says]))
    assert [str(change) for change in found] == [says]
    assert found[0].effect == "compatible"
