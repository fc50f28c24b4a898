"""What changed between two versions of a JSON Schema, and whether it breaks a reader or a writer.

Readers are deployed before writers, so a contract may accept more than before. It may not accept less, and a field
that a reader relies on may neither vanish, nor change its type, nor become optional.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, TypedDict

Schema = TypedDict(
    "Schema",
    {
        "$id": str,
        "$ref": str,
        "$defs": dict[str, "Schema"],
        "title": str,
        "type": str,
        "anyOf": list["Schema"],
        "oneOf": list["Schema"],
        "properties": dict[str, "Schema"],
        "required": list[str],
        "items": "Schema",
        "propertyNames": "Schema",
        "additionalProperties": "Schema",
        "default": object,
        "const": object,
        "enum": list[object],
    },
    total=False,
)
"""What gives a schema its shape; what bounds its values stands beside it, under the keywords below."""

LOWER_BOUNDS = ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties")
UPPER_BOUNDS = ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties")
EXACT = ("pattern", "format", "contentEncoding")


@dataclass(frozen=True, slots=True)
class Change:
    """One difference, at a path such as `source.Claim.uri`."""

    effect: Literal["breaking", "compatible"]
    path: str
    what: str

    def __str__(self) -> str:
        return f"{self.path or 'the event'}: {self.what}"


def changes(old: Schema, new: Schema) -> list[Change]:
    """The differences in meaning from `old` to `new`, each of them breaking or compatible; words do not count."""
    found = list(_compare(_Node(old, old), _Node(new, new), ""))
    if old.get("$id") != new.get("$id"):
        found.insert(0, Change("breaking", "", f"its type changed from {old.get('$id')!r} to {new.get('$id')!r}"))
    return found


@dataclass(frozen=True, slots=True)
class _Node:
    """A schema inside a document, references followed."""

    root: Schema
    schema: Schema

    def at(self, schema: Schema) -> "_Node":
        reference = schema.get("$ref")
        return _Node(self.root, self.root["$defs"][reference.rpartition("/")[2]] if reference else schema)

    def options(self) -> dict[str, "_Node"]:
        """The alternatives of a union by name: the class of an object, else the JSON type."""
        alternatives = self.schema.get("anyOf") or self.schema.get("oneOf") or [self.schema]
        return {_name(node.schema): node for node in map(self.at, alternatives)}


def _name(schema: Schema) -> str:
    kind = str(schema.get("type", "anything"))
    return str(schema.get("title", kind)) if kind == "object" and "properties" in schema else kind


def _compare(old: _Node, new: _Node, path: str) -> Iterator[Change]:
    before, after = old.options(), new.options()
    for name in before.keys() - after.keys():
        yield Change("breaking", path, f"{name} is no longer allowed (now {', '.join(after)})")
    for name in after.keys() - before.keys():
        yield Change("compatible", path, f"{name} is allowed as well")
    if old.schema.get("default", "absent") != new.schema.get("default", "absent") and "default" in old.schema:
        was, now = old.schema["default"], new.schema.get("default", "none")
        yield Change("breaking", path, f"the default changed from {was!r} to {now!r}: records without it mean another")
    for name in sorted(before.keys() & after.keys()):
        inner = f"{path}.{name}".lstrip(".") if len(before) > 1 and "properties" in before[name].schema else path
        yield from _values(before[name].schema, after[name].schema, path)
        yield from _constraints(before[name].schema, after[name].schema, path)
        yield from _fields(before[name], after[name], inner)
        yield from _members(before[name], after[name], path)


def _fields(old: _Node, new: _Node, path: str) -> Iterator[Change]:
    before, after = old.schema.get("properties", {}), new.schema.get("properties", {})
    needed_before, needed_after = old.schema.get("required", ()), new.schema.get("required", ())
    for name in before.keys() | after.keys():
        inner = f"{path}.{name}".lstrip(".")
        if name not in after:
            yield Change("breaking", inner, "the field was removed")
        elif name not in before and name in needed_after:
            yield Change("breaking", inner, "a required field was added: give it a default")
        elif name not in before:
            yield Change("compatible", inner, "an optional field was added")
        else:
            if name in needed_before and name not in needed_after:
                yield Change("breaking", inner, "the field may now be missing")
            if name in needed_after and name not in needed_before:
                yield Change("breaking", inner, "the field became required")
            yield from _compare(_nested(old, before[name]), _nested(new, after[name]), inner)


def _nested(parent: _Node, schema: Schema) -> _Node:
    target = parent.at(schema)
    return _Node(target.root, {**target.schema, "default": schema["default"]}) if "default" in schema else target


def _members(old: _Node, new: _Node, path: str) -> Iterator[Change]:
    """Elements of an array, names and values of a map."""
    any_name: Schema | None = {} if "propertyNames" in old.schema or "propertyNames" in new.schema else None
    names = (old.schema.get("propertyNames", any_name), new.schema.get("propertyNames", any_name), "<name>")
    elements = (old.schema.get("items"), new.schema.get("items"), "[]")
    values = (old.schema.get("additionalProperties"), new.schema.get("additionalProperties"), "{}")
    for was, now, suffix in (elements, names, values):
        if was is not None and now is not None:
            yield from _compare(old.at(was), new.at(now), path + suffix)


def _constraints(old: Mapping[str, object], new: Mapping[str, object], path: str) -> Iterator[Change]:
    for keyword in EXACT:
        if keyword in new and old.get(keyword) != new[keyword]:
            yield Change("breaking", path, f"{keyword} was {old.get(keyword)!r} and is {new[keyword]!r}")
        elif keyword in old and keyword not in new:
            yield Change("compatible", path, f"{keyword} {old[keyword]!r} was dropped")
    for keywords, sign in ((LOWER_BOUNDS, 1), (UPPER_BOUNDS, -1)):
        for keyword in keywords:
            was, now = old.get(keyword), new.get(keyword)
            if was == now:
                continue
            narrower = isinstance(now, int | float) and (not isinstance(was, int | float) or (now - was) * sign > 0)
            yield Change("breaking" if narrower else "compatible", path, f"{keyword} was {was} and is {now}")


def _values(old: Schema, new: Schema, path: str) -> Iterator[Change]:
    before, after = _allowed(old), _allowed(new)
    if before is None and after is not None:
        yield Change("breaking", path, f"only {', '.join(map(repr, after))} is allowed now")
    elif before is not None and after is None:
        yield Change("compatible", path, "any value is allowed now")
    elif before is not None and after is not None:
        for value in (value for value in before if value not in after):
            yield Change("breaking", path, f"{value!r} is no longer allowed")
        for value in (value for value in after if value not in before):
            yield Change("compatible", path, f"{value!r} is allowed as well")


def _allowed(schema: Schema) -> list[object] | None:
    if "const" in schema:
        return [schema["const"]]
    return schema.get("enum")
