"""What a replayed record went through before: a header that grows with every failure, up to a bound."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import orjson

from streams.runtime.headers import HISTORY, MAX_HISTORY_BYTES, history_of
from streams.runtime.records import Headers

MAX_DETAIL_CHARS = 300
"""Of each detail; the letter that is replayed held it in full."""
MAX_WORD_CHARS = 64
"""Of everything else; what workers write is shorter."""


@dataclass(frozen=True, slots=True)
class Failure:
    """One failure of a record."""

    stage: str
    code: str
    detail: str
    time: str
    """RFC 3339."""
    attempts: int


def earlier(headers: Headers) -> tuple[Failure, ...]:
    """The failures that a record's headers tell of, the oldest first; what is malformed counts as absent."""
    try:
        entries = orjson.loads(history_of(headers) or b"[]")
    except orjson.JSONDecodeError:
        return ()
    return tuple(_failure(entry) for entry in entries if isinstance(entry, dict)) if isinstance(entries, list) else ()


def lengthened(headers: Headers, failure: Failure) -> list[tuple[str, bytes | None]]:
    """The headers with one more failure in their history; what is too long for it goes, the oldest first."""
    entries = [_encoded(each) for each in (*earlier(headers), failure)]
    while len(entries) > 1 and sum(map(len, entries)) + len(entries) + 1 > MAX_HISTORY_BYTES:
        del entries[0]
    kept = [(name, value) for name, value in headers if name.lower() != HISTORY]
    return [*kept, (HISTORY, b"[" + b",".join(entries) + b"]")]


def _encoded(failure: Failure) -> bytes:
    return orjson.dumps(
        {
            "stage": _cut(failure.stage, MAX_WORD_CHARS),
            "code": _cut(failure.code, MAX_WORD_CHARS),
            "detail": _cut(failure.detail, MAX_DETAIL_CHARS),
            "time": _cut(failure.time, MAX_WORD_CHARS),
            "attempts": failure.attempts,
        }
    )


def _cut(text: str, max_chars: int) -> str:
    return text[:max_chars].encode(errors="replace").decode()


def _failure(entry: dict[object, object]) -> Failure:
    stage, code, detail, time = (_text(entry.get(name)) for name in ("stage", "code", "detail", "time"))
    attempts = entry.get("attempts")
    return Failure(stage, code, detail, time, attempts if isinstance(attempts, int) else 1)


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def told(history: Sequence[Failure]) -> list[dict[str, object]]:
    """The failures as plain data."""
    return [asdict(failure) for failure in history]
