"""Request bodies, read as strictly and as loosely as TEI reads them."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from tests.servers.tei.refusals import Unreadable

T = TypeVar("T")
Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]

SYNTAX = "Failed to parse the request body as JSON: "
SHAPE = "Failed to deserialize the JSON body into the target type: "


class WrongShape(Exception):
    """JSON of another type than a field takes."""


class WrongSyntax(Exception):
    """What TEI's parser of a field takes for broken JSON."""


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a request: how it is read, and its value where it is left out."""

    read: Callable[[Json], object]
    default: object = ...
    """None at all: the field is required."""
    positional: bool = True
    """Whether the default holds, too, where the fields come as an array."""


@dataclass(frozen=True, slots=True)
class Body:
    """The fields of a request, in order."""

    name: str
    fields: Mapping[str, Field]

    def read(self, data: bytes) -> dict[str, object]:
        """Each field's value; Unreadable is the answer to anything else."""
        return self.take(_parse(data, set(self.fields)))

    def take(self, given: Json) -> dict[str, object]:
        try:
            if isinstance(given, list):
                return self._in_order(given)
            if not isinstance(given, dict):
                raise WrongShape(f"invalid type: {_name(given)}, expected struct {self.name}")
            return {name: self._one(name, field, given) for name, field in self.fields.items()}
        except WrongShape as error:
            raise Unreadable(422, f"{SHAPE}{error} at line 1 column 1") from None
        except WrongSyntax as error:
            raise Unreadable(400, f"{SYNTAX}{error} at line 1 column 1") from None

    def _one(self, name: str, field: Field, given: Mapping[str, Json]) -> object:
        if name in given:
            return _at(name, field, given[name])
        if field.default is ...:
            raise WrongShape(f"missing field `{name}`")
        return field.default

    def _in_order(self, given: Sequence[Json]) -> dict[str, object]:
        found = {}
        for place, (name, field) in enumerate(self.fields.items()):
            if place < len(given):
                found[name] = _at(name, field, given[place])
            elif field.default is ... or not field.positional:
                raise WrongShape(
                    f"invalid length {place}, expected struct {self.name} with {len(self.fields)} elements"
                )
            else:
                found[name] = field.default
        return found


def boolean(given: Json) -> bool:
    if not isinstance(given, bool):
        raise WrongShape(f"invalid type: {_name(given)}, expected a boolean")
    return given


def string(given: Json) -> str:
    if not isinstance(given, str):
        raise WrongShape(f"invalid type: {_name(given)}, expected a string")
    return given


def size(given: Json) -> int:
    if not isinstance(given, int) or isinstance(given, bool):
        raise WrongShape(f"invalid type: {_name(given)}, expected usize")
    if given < 0:
        raise WrongShape(f"invalid value: integer `{given}`, expected usize")
    return given


def strings(given: Json) -> list[str]:
    if not isinstance(given, list):
        raise WrongShape(f"invalid type: {_name(given)}, expected a sequence")
    for place, each in enumerate(given):
        if not isinstance(each, str):
            raise WrongShape(f"[{place}]: invalid type: {_name(each)}, expected a string")
    return [each for each in given if isinstance(each, str)]


def optional(read: Callable[[Json], T]) -> Callable[[Json], T | None]:
    return lambda given: None if given is None else read(given)


def one_of(*known: str, syntax: bool = False) -> Callable[[Json], str]:
    """One of the words; with `syntax`, anything but a string reads as broken JSON."""

    def read(given: Json) -> str:
        if not isinstance(given, str):
            raise WrongSyntax("expected value") if syntax else WrongShape(f"invalid type: {_name(given)}")
        if given not in known:
            words = [f"`{word}`" for word in known]
            expected = " or ".join(words) if len(words) < 3 else "one of " + ", ".join(words)
            raise WrongShape(f"unknown variant `{given}`, expected {expected}")
        return given

    return read


def _at(name: str, field: Field, given: Json) -> object:
    try:
        return field.read(given)
    except WrongShape as error:
        raise WrongShape(f"{name}{'' if str(error).startswith('[') else ': '}{error}") from None
    except WrongSyntax as error:
        raise WrongSyntax(f"{name}: {error}") from None


def _name(given: Json) -> str:
    if given is None or isinstance(given, list | dict):
        return {type(None): "null", list: "sequence", dict: "map"}[type(given)]
    if isinstance(given, str):
        return f"string {json.dumps(given, ensure_ascii=False)}"
    if isinstance(given, bool):
        return f"boolean `{str(given).lower()}`"
    return f"{'integer' if isinstance(given, int) else 'floating point'} `{given}`"


def _parse(data: bytes, fields: set[str]) -> Json:
    """The first JSON value of a body; what follows it is ignored."""

    def once(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
        names = [name for name, _ in pairs if name in fields]
        for name in names:
            if names.count(name) > 1:
                raise Unreadable(422, f"{SHAPE}duplicate field `{name}` at line 1 column 1")
        return dict(pairs)

    try:
        text = data.decode().lstrip(" \t\r\n")
        value, _ = json.JSONDecoder(object_pairs_hook=once, parse_constant=_no_constant).raw_decode(text)
        if re.search(r"\\u[dD][89a-fA-F]", text):
            json.dumps(value, ensure_ascii=False).encode()  # a lone surrogate has no UTF-8 form
    except UnicodeEncodeError:
        raise Unreadable(400, f"{SYNTAX}unexpected end of hex escape at line 1 column 1") from None
    except UnicodeDecodeError:
        raise Unreadable(400, f"{SYNTAX}invalid unicode code point at line 1 column 1") from None
    except (json.JSONDecodeError, RecursionError):
        raise Unreadable(400, f"{SYNTAX}{_complaint(data)} at line 1 column 1") from None
    return value  # type: ignore[no-any-return]


def _no_constant(name: str) -> float:
    raise json.JSONDecodeError(f"{name} is no JSON", name, 0)


def _complaint(data: bytes) -> str:
    start = data.lstrip()
    if not start:
        return "EOF while parsing a value"
    if start[:1] == b"{" and not start.rstrip().endswith(b"}"):
        return "EOF while parsing an object"
    return "expected value"
