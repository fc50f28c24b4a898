"""The files of a backup: what lies in them, and how a record is written and read.

A file is lines of JSON, gzipped, and holds one partition's records from an offset up to another, as its name says, in a
folder named by the id that the broker gave the topic: a topic that is made anew starts with files of its own. Content
that travels by claim check lies in `objects`, by its hash.
"""

import gzip
import json
import os
from base64 import b64decode, b64encode
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from schemas import Claim, DocumentPublished, SchemaError, decode
from streams.runtime.headers import Incoming
from streams.runtime.records import Headers
from streams.topics import DOCUMENTS

SUFFIX = ".jsonl.gz"


@dataclass(frozen=True, slots=True)
class Saved:
    """A file of one partition's records, from `first` up to and without `end`."""

    path: Path
    partition: int
    first: int
    end: int

    @classmethod
    def of(cls, path: Path) -> "Saved":
        return cls(path, *map(int, path.name.removesuffix(SUFFIX).split("-")))


def files(folder: Path) -> Sequence[Saved]:
    """What was saved, each partition in order."""
    found = map(Saved.of, folder.rglob(f"*{SUFFIX}"))
    return sorted(found, key=lambda saved: (saved.path.parent, saved.partition, saved.first))


def understood(value: bytes | None, headers: Headers) -> object:
    """The event; None for what no reader understands, which a restore lets the workers reject once more."""
    try:
        return decode(value or b"", Incoming.of(headers).ce_type, DOCUMENTS.events)
    except SchemaError:
        return None


def claimed(value: bytes | None, headers: Headers) -> Claim | None:
    """Where the record's content lies, if not in the record."""
    event = understood(value, headers)
    return event.source if isinstance(event, DocumentPublished) and isinstance(event.source, Claim) else None


def line(key: bytes | None, value: bytes | None, headers: Headers) -> str:
    """A record, byte for byte."""
    return json.dumps([text(key), text(value), [[name, text(value)] for name, value in headers]]) + "\n"


def records(path: Path) -> Iterator[tuple[bytes | None, bytes | None, Headers]]:
    """The records of a file. Raises OSError, EOFError where it is damaged."""
    with gzip.open(path, "rt") as file:
        for key, value, headers in map(json.loads, file):
            yield raw(key), raw(value), [(name, raw(header)) for name, header in headers]


def text(value: bytes | None) -> str | None:
    return None if value is None else b64encode(value).decode()


def raw(value: str | None) -> bytes | None:
    return None if value is None else b64decode(value)


def publish(part: Path, path: Path) -> None:
    """Give a finished file its name, so that a crash leaves it whole or not at all."""
    with part.open("rb") as file:
        os.fsync(file.fileno())
    part.replace(path)
