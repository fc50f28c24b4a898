"""Letters as a person reads them: a line each, or whole."""

import base64
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from textwrap import wrap

from schemas import SchemaError, decode
from streams.cli.reporting import ago, counted, one_line
from streams.letters.history import told
from streams.letters.letter import QUESTIONS, DeadLetter, original
from streams.letters.settled import Mark
from streams.runtime.headers import HISTORY, Incoming
from streams.runtime.records import Record

MAX_KEY_CHARS = 48
MAX_TEXT_CHARS = 200
"""Of one text in a value; `--json` holds all of it."""
MAX_RAW_BYTES = 256

Data = dict[str, object]


def table(letters: Sequence[DeadLetter], columns: int | None = None) -> Iterator[str]:
    """A line per letter: id, stage, code, age, document or query, and what is wrong.

    On a terminal of so many columns, what is wrong stands below, whole.
    """
    now = datetime.now(UTC)
    rows = [
        (
            str(letter.id),
            letter.stage or "?",
            letter.code or "?",
            ago((now - letter.time).total_seconds()),
            _short(one_line(letter.key), MAX_KEY_CHARS if columns is None else len(letter.key)) or "?",
        )
        for letter in letters
    ]
    widths = [max((len(row[column]) for row in rows), default=0) for column in range(5)]
    for row, letter in zip(rows, letters, strict=True):
        cells = "  ".join(one_line(cell).ljust(width) for cell, width in zip(row, widths, strict=True))
        wrong = f"{again(letter)}{one_line(letter.detail)}"
        if columns is None:
            yield f"{cells}  {wrong}"
            continue
        yield cells.rstrip()
        yield from wrap(wrong, max(20, columns - 1), initial_indent="    ", subsequent_indent="    ")


def already(settled: Sequence[tuple[DeadLetter, Mark]]) -> Iterator[str]:
    """A line for each letter that was named and is not open any more."""
    return (f"{mark.how:<9} {letter.id} already, at {mark.at}" for letter, mark in settled)


def already_as_data(settled: Sequence[tuple[DeadLetter, Mark]]) -> Sequence[Data]:
    """The same as plain data."""
    return [{"id": str(letter.id), "how": mark.how, "at": mark.at} for letter, mark in settled]


def again(letter: DeadLetter) -> str:
    """How often it was replayed before."""
    return f"(replayed {len(letter.history)}x) " if letter.history else ""


def total(letters: Sequence[DeadLetter]) -> str:
    """How many letters are open, by code."""
    return f"{counted(len(letters), 'open letter')}{by_code(letters)}"


def by_code(letters: Sequence[DeadLetter]) -> str:
    """`: 3 encrypted, 1 schema`, the most frequent first."""
    found = Counter(letter.code or "?" for letter in letters)
    return f": {', '.join(f'{count} {one_line(code)}' for code, count in found.most_common())}" if found else ""


def as_data(letter: DeadLetter) -> Data:
    """A letter as plain data, without its record's value."""
    return {
        "id": str(letter.id),
        "stage": letter.stage,
        "code": letter.code,
        "key": letter.key,
        "time": letter.time.isoformat(),
        "attempts": letter.attempts,
        "detail": letter.detail,
        "trace": letter.trace,
        "source": str(letter.source) if letter.source else None,
        "size_bytes": letter.size_bytes,
        "deadline": letter.deadline.isoformat() if letter.deadline else None,
        "history": told(letter.history),
    }


@dataclass(frozen=True, slots=True)
class Shown:
    """A letter with its record, and what was done with it."""

    letter: DeadLetter
    mark: Mark | None
    record: Record

    def as_data(self) -> Data:
        value = self.record.value
        shown: Data = {"value": None if value is None else _text(value)}
        if value is not None and shown["value"] is None:
            shown = {"value_base64": base64.b64encode(value).decode()}
        return {
            **as_data(self.letter),
            "settled": {"how": self.mark.how, "at": self.mark.at} if self.mark else None,
            "headers": [[name, None if text is None else _printable(text)] for name, text in self.record.headers],
            **shown,
        }

    def as_text(self) -> str:
        letter = self.letter
        settled = f"{self.mark.how} at {self.mark.at}" if self.mark else "open"
        lines = [
            f"letter     {letter.id}, {settled}",
            f"wrong      {letter.detail} ({letter.code or 'no code'})",
            f"stage      {letter.stage or '?'}, {counted(letter.attempts, 'attempt')}, {letter.time.isoformat()}",
            f"key        {one_line(letter.key) or 'none'}",
            f"record     {letter.source or 'unknown'}, {letter.size_bytes:,} bytes",
            f"trace      {f'`headwater trace {letter.trace}`' if letter.trace else 'none'}",
        ]
        if letter.deadline:
            late = ", past: nobody waits for the answer" if letter.late(datetime.now(UTC)) else ""
            lines.append(f"deadline   {letter.deadline.isoformat()}{late}")
        lines += [
            f"before     {failure.time}: {failure.stage}, {counted(failure.attempts, 'attempt')}: "
            f"{one_line(failure.detail)} ({failure.code})"
            for failure in letter.history
        ]
        lines += [
            f"header     {one_line(name)}: {'null' if text is None else one_line(_printable(text))}"
            for name, text in original(self.record)
            if name != HISTORY
        ]
        if self.mark is None:
            lines += _next(letter)
        return "\n".join([*lines, *_value(letter, self.record)])


def _next(letter: DeadLetter) -> Sequence[str]:
    """What to do with an open letter: its own bytes again, or others in their place."""
    if letter.id.topic in QUESTIONS:
        return [f"next       ask anew and `headwater dlq drop {letter.id}`, or `replay` it where what failed is mended"]
    return [
        f"next       mend the document, ingest it again, and `headwater dlq drop {letter.id}`;",
        f"           `headwater dlq replay {letter.id}` sends these bytes again, for where they were not at fault",
    ]


def _value(letter: DeadLetter, record: Record) -> Sequence[str]:
    """The event, or the bytes where there is none."""
    value = record.value
    if letter.omitted_bytes is not None:
        return [f"value      {letter.omitted_bytes:,} bytes that did not fit the letter"]
    if value is None:
        return ["value      none"]
    try:
        event = decode(value, Incoming.of(record.headers).ce_type, letter.topic.events)
    except SchemaError:
        return ["value      no event of its topic:", *_raw(value)]
    about = json.dumps(_shortened(json.loads(value)), indent=2, ensure_ascii=False)
    return [f"value      {type(event).__name__}:", about]


def _raw(value: bytes) -> Sequence[str]:
    if (text := _text(value)) is not None:
        return [_short(text, 8 * MAX_TEXT_CHARS)]
    lines = [value[start : start + 16].hex(" ") for start in range(0, min(len(value), MAX_RAW_BYTES), 16)]
    more = len(value) - MAX_RAW_BYTES
    return [*lines, f"... and {more:,} bytes more"] if more > 0 else lines


def _shortened(value: object) -> object:
    match value:
        case str() if len(value) > MAX_TEXT_CHARS:
            return f"{value[:MAX_TEXT_CHARS]}... and {len(value) - MAX_TEXT_CHARS:,} characters more"
        case dict():
            return {name: _shortened(each) for name, each in value.items()}
        case list():
            return [_shortened(each) for each in value]
        case _:
            return value


def _printable(text: bytes) -> str:
    return text.decode(errors="backslashreplace")


def _text(value: bytes) -> str | None:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return None


def _short(text: str, max_chars: int) -> str:
    return text if len(text) <= max_chars else f"{text[: max_chars - 3]}..."
