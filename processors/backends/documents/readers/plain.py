"""Reads text, tables and JSON with the standard library: verbatim, and at memory speed."""

import csv
import io
import json
import re
from collections.abc import Iterable, Iterator, Sequence

from processors.errors import Poison
from processors.ports import Element

PARAGRAPH_BREAK = re.compile(r"\n[ \t]*(?:\n[ \t]*)+")
MAX_JSON_DEPTH = 100


def text(content: str) -> Iterator[Element]:
    """Paragraphs as they stand, line breaks included."""
    for paragraph in PARAGRAPH_BREAK.split(content):
        yield Element(kind="text", text=paragraph.strip("\n").rstrip())


def table(content: str, filename: str) -> Iterator[Element]:
    """One table, a line per row. Poison: `unreadable`."""
    try:
        dialect: type[csv.Dialect] | csv.Dialect = csv.Sniffer().sniff(content[:4096], delimiters=",;\t|")
    except csv.Error:
        dialect = csv.excel
    csv.field_size_limit(1 << 27)
    try:
        rows = list(csv.reader(io.StringIO(content, newline=""), dialect))
    except csv.Error as error:
        raise Poison("unreadable", f"{filename!r} is not a readable table ({error}): save it as CSV again") from None
    yield Element(kind="table", text=labelled(rows))


def labelled(rows: Iterable[Sequence[str]]) -> str:
    """A line per row; under a heading row each cell carries its heading, so that a row can be read alone."""
    filled = [[" ".join(cell.split()) for cell in row] for row in rows if any(cell.strip() for cell in row)]
    if len(filled) < 2 or not _is_heading(filled[0]):
        return "\n".join(" | ".join(cell for cell in row if cell) for row in filled)
    heading = filled[0]
    lines = []
    for row in filled[1:]:
        names = heading + [""] * (len(row) - len(heading))
        lines.append(
            "; ".join(f"{name}: {cell}" if name else cell for name, cell in zip(names, row, strict=False) if cell)
        )
    return "\n".join(lines)


def document(content: str, filename: str) -> Iterator[Element]:
    """JSON as lines of `path: value`; one element per item of the outermost list or object."""
    try:
        value = json.loads(content)
    except RecursionError:
        raise Poison("unreadable", f"{filename!r} is nested too deeply: at most {MAX_JSON_DEPTH} levels") from None
    except ValueError as error:
        raise Poison(
            "unreadable", f"{filename!r} is not valid JSON ({error}): correct it and publish it again"
        ) from None
    listed = value if isinstance(value, list) else [value]
    items = value.items() if isinstance(value, dict) else [("", [item]) for item in listed]
    for name, item in items:
        yield Element(kind="text", text="\n".join(_lines(name, item, filename, 0)))


def _lines(path: str, value: object, filename: str, depth: int) -> Iterator[str]:
    if depth > MAX_JSON_DEPTH:
        raise Poison("unreadable", f"{filename!r} is nested too deeply: at most {MAX_JSON_DEPTH} levels")
    if isinstance(value, dict):
        for name, item in value.items():
            yield from _lines(f"{path} {name}".strip(), item, filename, depth + 1)
    elif isinstance(value, list):
        for item in value:
            if isinstance(item, dict) and not any(isinstance(part, dict | list) for part in item.values()):
                # A record reads like a row of a table: what it says of one thing stays together.
                fields = "; ".join(_lines("", item, filename, depth + 1))
                yield from [f"{path} {fields}".strip()] if fields else []
            else:
                yield from _lines(path, item, filename, depth + 1)
    elif value not in (None, ""):
        shown = value if isinstance(value, str) else json.dumps(value)
        yield f"{path}: {shown}" if path else shown


def _is_heading(row: Sequence[str]) -> bool:
    return all(row) and len(set(row)) == len(row) > 1 and not any(any(c.isdigit() for c in cell) for cell in row)
