"""What a real server answered, as a table: `exchanges.json`.

A request's body is JSON, or a string that is sent as it stands. Long parts are rules: `{"$text": [RULE, COUNT]}`,
`{"$repeat": [ELEMENT, COUNT]}`; `$hex`, `$gzip` and `$payload` (a request of so many bytes) make bodies that JSON
cannot hold. An answer has a status, the header values that matter, and the body's shape: plain JSON stands for
itself, `{"$": "list", "n": 384, "of": {"$": "float"}}` for a vector. `computed` stands for all x- headers and holds
the characters and tokens that they report; the CORS headers, date and content-length belong to every answer unless
`headers` says otherwise.
"""

import gzip
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

TABLE = Path(__file__).with_name("exchanges.json")

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]

CORS = {
    "vary": "origin, access-control-request-method, access-control-request-headers",
    "access-control-allow-origin": "*",
}
JSON_BODY = {"content-type": "application/json"}
"""The headers of a request that has a body and names none."""
TIMES = ("x-compute-time", "x-total-time", "x-tokenization-time", "x-queue-time", "x-inference-time")
TYPES: Mapping[str, type] = {"float": float, "int": int, "str": str, "bool": bool}
PARSER = re.compile(r" at line \d+ column \d+$|(?<=as JSON: ).*")
"""Where a parser stood when it gave up, and how it calls a slip of syntax: its own affair."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def load() -> list[dict[str, Json]]:
    exchanges = json.loads(TABLE.read_bytes())
    assert isinstance(exchanges, list)
    return exchanges


def text(rule: str, count: int) -> str:
    """A long text, by the rule that made it when the real server was asked."""
    match rule:
        case "words":
            return " ".join(f"word{number}" for number in range(count))
        case "letters":
            return "a " * count
        case "articles":
            return " ".join(["the"] * count)
        case "foxes":
            return " ".join(f"the quick brown fox number {number} jumps" for number in range(count))
    raise ValueError(f"no rule {rule!r}")


def body(given: Json) -> bytes:
    """The bytes of a request's body."""
    if isinstance(given, str):
        return given.encode()
    if isinstance(given, dict):
        if "$hex" in given:
            return bytes.fromhex(str(given["$hex"]))
        if "$gzip" in given:
            return gzip.compress(str(given["$gzip"]).encode(), mtime=0)
        if "$payload" in given:
            return b'{"inputs":"' + b"a" * (int(str(given["$payload"])) - 13) + b'"}'
    return json.dumps(_made(given)).encode()


def _made(given: Json) -> Json:
    if isinstance(given, list):
        return [_made(each) for each in given]
    if not isinstance(given, dict):
        return given
    if "$text" in given:
        rule = given["$text"]
        assert isinstance(rule, list)
        return text(str(rule[0]), int(str(rule[1])))
    if "$repeat" in given:
        repeat = given["$repeat"]
        assert isinstance(repeat, list)
        return [_made(repeat[0])] * int(str(repeat[1]))
    return {key: _made(value) for key, value in given.items()}


def differences(answer: Answer, expected: Mapping[str, Json]) -> list[str]:
    """Where an answer is not what the real server gave; empty where it is."""
    found = [] if answer.status == expected["status"] else [f"status {answer.status}, not {expected['status']}"]
    if expected.get("headers") != "not recorded":
        found += _header_differences(answer.headers, expected)
    return found + _body_differences(answer, expected.get("body", ""))


def _header_differences(headers: Mapping[str, str], expected: Mapping[str, Json]) -> list[str]:
    wanted: dict[str, Json] = {} if expected.get("headers") == "bare" else dict(CORS)
    wanted |= {name: value for name, value in expected.items() if name not in ("status", "headers", "body", "computed")}
    numbers = ["content-length"]
    if isinstance(computed := expected.get("computed"), list):
        characters, tokens = map(str, computed)
        wanted |= {"x-compute-type": "gpu+optimized", "x-compute-characters": characters, "x-compute-tokens": tokens}
        numbers += TIMES
    names = {*wanted, *numbers, "date"}
    return [
        *(
            f"{name}: {headers.get(name)!r}, not {value!r}"
            for name, value in wanted.items()
            if headers.get(name) != value
        ),
        *(f"{name}: {headers[name]!r} is no number" for name in numbers if not headers.get(name, "0").isdecimal()),
        *(f"no header {name!r}" for name in sorted(names - headers.keys())),
        *(f"header {name!r} too many" for name in sorted(headers.keys() - names)),
    ]


def _body_differences(answer: Answer, shape: Json) -> list[str]:
    if isinstance(shape, str):
        said = answer.body.decode()
        return [] if PARSER.sub("", said) == PARSER.sub("", shape) else [f"body {said!r}, not {shape!r}"]
    if isinstance(shape, dict) and shape.get("$") == "document":
        return [] if answer.body else ["no body"]
    if isinstance(shape, dict) and shape.get("$") == "counters":
        names = shape["of"]
        assert isinstance(names, dict)
        served = counters(answer.body.decode())
        return [f"no counter {name}" for name in names if name not in served]
    try:
        given = json.loads(answer.body)
    except ValueError:
        return [f"body {answer.body[:80]!r} is not JSON"]
    return unlike(given, shape)


def counters(body: str) -> dict[str, int]:
    """The plain figures of /metrics; histograms are left out."""
    rows = [line.rsplit(" ", 1) for line in body.splitlines() if line and not line.startswith("#")]
    return {name: int(value) for name, value in rows if "_bucket" not in name and value.isdecimal()}


def unlike(body: Json, shape: Json, at: str = "body") -> list[str]:
    """Where a JSON value is not of this shape."""
    if isinstance(shape, dict) and "$" in shape:
        return _unlike_named(body, shape, at)
    if isinstance(shape, dict) and isinstance(body, dict):
        found = [f"{at} has {sorted(body)}, not {sorted(shape)}"] if body.keys() != shape.keys() else []
        return found + [
            each for key in shape.keys() & body.keys() for each in unlike(body[key], shape[key], f"{at}.{key}")
        ]
    if isinstance(shape, list) and isinstance(body, list):
        found = [f"{at} has {len(body)} elements, not {len(shape)}"] if len(body) != len(shape) else []
        pairs = zip(body, shape, strict=False)
        return found + [each for place, (one, like) in enumerate(pairs) for each in unlike(one, like, f"{at}[{place}]")]
    return [] if type(body) is type(shape) and body == shape else [f"{at} is {str(body)[:80]!r}, not {shape!r}"]


def _unlike_named(body: Json, shape: Mapping[str, Json], at: str) -> list[str]:
    name = shape["$"]
    if name == "any":
        return []
    if name == "backend error":
        return [] if str(body).startswith("Backend error: ") else [f"{at} is {body!r}"]
    if name == "list":
        if not isinstance(body, list) or len(body) != shape["n"]:
            return [f"{at} is not a list of {shape['n']}"]
        return [each for place, one in enumerate(body) for each in unlike(one, shape["of"], f"{at}[{place}]")]
    if type(body) is not TYPES[str(name)]:
        return [f"{at} is {str(body)[:80]!r}, not of type {name}"]
    return [f"{at} has {len(str(body))} characters"] if len(str(body)) != shape.get("n", len(str(body))) else []
