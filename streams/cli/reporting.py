"""What commands print: text that cannot drive a terminal, colour only where a person looks at it."""

import os
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import typer

from streams.cli.problems import UNREACHABLE, USAGE, CommandError

CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
"""All but tab and newline: a document must not be able to move the reader's cursor."""
UNPRINTED = re.compile(r"[\x00-\x1f\x7f-\x9f]")

Scalar = str | bool | int | float


def plain(text: str) -> str:
    """`text` without control characters and without what has no UTF-8 form."""
    return CONTROLS.sub("", text).encode(errors="replace").decode()


def one_line(text: str) -> str:
    """`text` on a line of its own: a name may hold a line break."""
    return plain(text.replace("\n", "\\n"))


def named(name: str) -> str:
    """`name` as a shell takes it back: what is not printed is written as in `$'new\\nline.txt'`."""
    if not UNPRINTED.search(name):
        return name
    escaped = re.sub(r"([\\'])", r"\\\1", name).replace("\n", "\\n")
    escaped = UNPRINTED.sub(lambda found: f"\\u{ord(found[0]):04x}", escaped)
    return f"$'{escaped}'"


def counted(number: int, noun: str) -> str:
    """`1 chunk`, `2 chunks`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def ago(seconds: float) -> str:
    """`90 s`, `3 h`: how long something is past, in one unit."""
    whole = max(0, int(seconds))
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if whole >= 2 * size:
            return f"{whole // size} {unit}"
    return f"{whole} s"


def dim(text: str) -> str:
    """`text` in the background, where colours are wanted."""
    return typer.style(text, dim=True) if sys.stdout.isatty() and not os.environ.get("NO_COLOR") else text


def pairs(given: Sequence[str], flag: str) -> dict[str, Scalar]:
    """`name=value` flags as a mapping; true, false and numbers become what they look like."""
    parsed = {}
    for pair in given:
        name, equals, value = pair.partition("=")
        if not name or not equals:
            raise CommandError(f"{flag} {pair!r} is not NAME=VALUE, for example {flag} year=2026", USAGE)
        parsed[name] = scalar(value)
    return parsed


def scalar(text: str) -> Scalar:
    """A boolean or a finite number where `text` is written as one, else `text`."""
    if text in ("true", "false"):
        return text == "true"
    if re.fullmatch(r"-?(0|[1-9]\d{0,15})", text):
        return int(text)
    if re.fullmatch(r"-?(0|[1-9]\d{0,15})\.\d{1,15}", text):
        return float(text)
    return text


@contextmanager
def explained() -> Iterator[None]:
    """Ends the command with one clear line where an argument or a service is at fault."""
    from processors.errors import Poison, Transient
    from schemas import SchemaError

    try:
        yield
    except SchemaError as error:
        raise CommandError(str(error), USAGE) from error
    except Poison as error:
        raise CommandError(error.detail) from error
    except Transient as error:
        raise CommandError(f"{error.reason}; `headwater doctor` says what is wrong", UNREACHABLE) from error
