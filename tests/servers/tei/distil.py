"""Make `exchanges.json` from recordings of a real server: `python -m tests.servers.tei.distil RECORDINGS`.

Of each exchange it keeps what a client can rely on: the request, the status, the headers, and the body's shape. Long
inputs become the rule that makes them, vectors become their length; the form is described in `exchanges.py`.
"""

import json
import re
import sys
from bisect import bisect_left
from collections.abc import Mapping
from functools import partial, reduce
from pathlib import Path

from tests.servers.tei.exchanges import CORS, JSON_BODY, TABLE, Json, counters, text

CUT = "...[cut]"
HISTOGRAM = re.compile(r"te_batch_.*_(sum|count)|.*_duration_(sum|count)")
RULES = ("words", "letters", "articles", "foxes")
WIRE_BODY = '{"inputs":"hello world"}'
LONG: Json = {"$repeat": [{"$text": ["foxes", 60]}, 32]}
ODD: Mapping[str, Json] = {
    "embed_non_utf8": {"$hex": b'{"inputs":"caf\xe9"}'.hex()},
    "embed_bom": {"$hex": b'\xef\xbb\xbf{"inputs":"a"}'.hex()},
    "embed_gzip_body": {"$gzip": '{"inputs":"a"}'},
    "embed_payload_at_limit": {"$payload": 2_000_000},
    "embed_payload_over_limit": {"$payload": 2_000_001},
    "embed_payload_huge": {"$payload": 20_000_000},
    "wire_chunked_body_over_limit": {"$payload": 3_000_013},
    "wire_content_length_20MB": {"$payload": 20_000_013},
    "wire_expect_100_continue_over_limit": "",
    "wire_body_shorter_than_content_length": WIRE_BODY,
    "embed_all_truncate_false_overlong": {"inputs": {"$text": ["foxes", 80]}, "truncate": False},
}
"""Bodies that the recording describes in words, or cuts where no rule fits to the character (the last: 562 tokens)."""
ANY = {"info.sha", "info.tokenization_workers"}
"""What is the machine's or the build's and not the contract's."""
OF_THE_SCORES = ("index", "label", "text")
"""Beside a score these follow its order, which is the model's."""


def distilled(recording: Mapping[str, Json]) -> dict[str, Json]:
    name, asked, response, flags = (recording[key] for key in ("name", "request", "response", "server_args"))
    assert isinstance(name, str)
    assert isinstance(asked, dict)
    assert isinstance(response, dict)
    assert isinstance(flags, list)
    request: dict[str, Json] = {"method": asked["method"], "path": asked["path"]}
    body = ODD[name] if name in ODD else _input(asked["body"], str(asked.get("body_note", "")))
    if body is not None:
        request["body"] = body
    if asked["headers"] != (JSON_BODY if body is not None else {}):
        request["headers"] = asked["headers"]
    found: dict[str, Json] = {"name": name, "server": " ".join(map(str, flags)), "request": request}
    if response["status"] is not None:
        found["answer"] = _answer(response, "info" if request["path"] == "/info" else "")
    return found


def _answer(response: Mapping[str, Json], what: str) -> dict[str, Json]:
    headers = response["headers"]
    assert isinstance(headers, dict)
    found: dict[str, Json] = {"status": response["status"]}
    for name, value in headers.items():
        if name == "x-compute-characters":
            found["computed"] = [int(str(value)), int(str(headers["x-compute-tokens"]))]
        elif not name.startswith("x-") and name not in CORS and name not in ("date", "content-length"):
            found[name] = value
    if not headers:
        found["headers"] = "not recorded"
    elif not set(CORS) <= set(headers):
        found["headers"] = "bare"
    body, note = response["body"], str(response.get("body_note", ""))
    if isinstance(body, str) and body.startswith("# TYPE"):
        found["body"] = {"$": "counters", "of": _counters(body)}
    elif headers.get("content-type") == "text/html" or "of 26701" in note:
        found["body"] = {"$": "document"}
    elif body != "":
        found["body"] = _shape(body, _cuts(note), what)
    return found


def _input(body: Json, note: str) -> Json:
    """The body with its long parts as rules."""
    if body == ["(text of 256 tokens) x 32"]:
        return LONG
    if isinstance(body, dict):
        return {key: _input(value, note) for key, value in body.items()}
    if isinstance(body, list):
        cut = re.search(r"`inputs` cut from (\d+)", note)
        count = int(cut[1]) if cut and len(body) > 1 else len(body)
        same = count > 4 and all(one == body[0] for one in body)
        each: list[Json] = [_input(one, note) for one in body]
        repeat: list[Json] = [each[0] if each else None, count]
        return {"$repeat": repeat} if same else each
    if isinstance(body, str) and body.endswith(CUT):
        return {"$text": _rule(body.removesuffix(CUT), _cuts(note)["string"])}
    return body


def _rule(start: str, length: int) -> list[Json]:
    for rule in RULES:
        count = bisect_left(range(length), length, key=partial(_length, rule))
        if len(made := text(rule, count)) == length and made.startswith(start):
            return [rule, count]
    raise ValueError(f"no rule makes {length} characters that begin with {start!r}")


def _length(rule: str, count: int) -> int:
    return len(text(rule, count))


def _shape(body: Json, cuts: Mapping[str, int], path: str) -> Json:
    if isinstance(body, dict):
        if "score" in body:
            return {key: _shape(value, cuts, "score" if key in OF_THE_SCORES else path) for key, value in body.items()}
        return {key: _shape(value, cuts, f"{path}.{key}") for key, value in body.items()}
    if isinstance(body, list):
        return _list(body, cuts, path)
    if isinstance(body, float) or path == "score":
        return {"$": type(body).__name__}
    if path in ANY:
        return {"$": "any"}
    return _word(body, cuts) if isinstance(body, str) else body


def _word(body: str, cuts: Mapping[str, int]) -> Json:
    if body.endswith(CUT):
        return {"$": "str", "n": cuts["string"]}
    return {"$": "backend error"} if body.startswith("Backend error: Non-zero") else body


def _list(body: list[Json], cuts: Mapping[str, int], path: str) -> Json:
    shapes = [_shape(each, cuts, path) for each in body]
    numbers = all(each is None or isinstance(each, float) for each in body)
    count = cuts.get(f"number arrays of {len(body)}" if numbers else f"list of {len(body)}", len(body))
    if (len(body) == count and any(shape != shapes[0] for shape in shapes)) or not body:
        return shapes
    return {"$": "list", "n": count, "of": reduce(_both, shapes)}


def _both(one: Json, other: Json) -> Json:
    """A shape that two elements have in common."""
    if one == other:
        return one
    if isinstance(one, dict) and isinstance(other, dict) and one.keys() == other.keys() and "$" not in one:
        return {key: _both(one[key], other[key]) for key in one}
    same = type(one) is type(other) and not isinstance(one, dict | list)
    named = isinstance(one, dict) and one.get("$") == type(other).__name__
    return {"$": type(other).__name__} if same or named else {"$": "any"}


def _cuts(note: str) -> dict[str, int]:
    """How long lists of a certain length, and strings, were before the recording cut them."""
    lists = re.findall(r"(list|number arrays) cut from (\d+) to (\d+)", note)
    strings = re.findall(r"string cut, (\d+) characters", note)
    cuts = {f"{what} of {to}": int(before) for what, before, to in lists}
    cuts["string"] = int(strings[0]) if strings else 0
    return cuts


def _counters(body: str) -> dict[str, Json]:
    """The plain figures; of histograms the recording has only a part."""
    return {name: value for name, value in counters(body).items() if not HISTOGRAM.fullmatch(name)}


if __name__ == "__main__":
    recordings = json.loads(Path(sys.argv[1]).read_bytes())
    lines = [json.dumps(distilled(each), separators=(",", ":")) for each in recordings]
    TABLE.write_text("[\n" + ",\n".join(lines) + "\n]\n")
