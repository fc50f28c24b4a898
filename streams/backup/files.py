"""The files of a backup: what lies in them, and how a record is written and read.

A file is lines of JSON, gzipped, and holds one partition's records from an offset up to another, as its name says, in a
folder named by the id that the broker gave the topic: a topic that is made anew starts with files of its own. Content
that travels by claim check lies in `objects`, by its hash.
"""

import gzip
import json
import re
from base64 import b64decode, b64encode
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from io import BytesIO

from processors.errors import Poison
from schemas import Claim, DocumentPublished, SchemaError, decode
from streams.backup.archive import Archive
from streams.runtime.headers import Incoming
from streams.runtime.records import Headers
from streams.topics import DOCUMENTS

SUFFIX = ".jsonl.gz"
NAMED = re.compile(r".+/(\d{4,})-(\d{16})-(\d{16})" + re.escape(SUFFIX))
"""Partition, first offset, and the one behind the last, in digits that sort."""
OBJECTS = "objects"
FILE_BYTES = 16 * 1024 * 1024
"""Of lines, before they are compressed: as many files are held in memory at once as the topic has partitions."""

Entry = tuple[bytes | None, bytes | None, Headers]
"""A record's key, value and headers."""


@dataclass(frozen=True, slots=True)
class Saved:
    """A file of one partition's records, from `first` up to and without `end`."""

    name: str
    partition: int
    first: int
    end: int


def files(archive: Archive, below: str = "") -> Sequence[Saved]:
    """What was saved, each partition in order; what others keep there is passed over."""
    ours = filter(None, map(NAMED.fullmatch, archive.names(below)))
    found = [Saved(name[0], *map(int, name.groups())) for name in ours]
    return sorted(found, key=lambda saved: (saved.name.rpartition("/")[0], saved.partition, saved.first))


@dataclass
class Writing:
    """One partition's records on their way into files, from the offset `first` on."""

    archive: Archive
    folder: str
    partition: int
    first: int
    end: int = field(init=False)
    _lines: list[bytes] = field(init=False, default_factory=list)
    _bytes: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        self.end = self.first

    def add(self, offset: int, entry: Entry) -> None:
        self._lines.append(line(entry))
        self._bytes += len(self._lines[-1])
        self.end = offset + 1
        if self._bytes >= FILE_BYTES:
            self.publish()

    def publish(self) -> None:
        """Give what there is its name."""
        if self._lines:
            name = f"{self.folder}/{self.partition:04}-{self.first:016}-{self.end:016}{SUFFIX}"
            self.archive.put(name, gzip.compress(b"".join(self._lines)))
            self._lines.clear()
            self._bytes = 0
            self.first = self.end


def understood(entry: Entry) -> object:
    """The event; None for what no reader understands, which a restore lets the workers reject once more."""
    _, value, headers = entry
    try:
        return decode(value or b"", Incoming.of(headers).ce_type, DOCUMENTS.events)
    except SchemaError:
        return None


def claimed(entry: Entry) -> Claim | None:
    """Where the record's content lies, if not in the record."""
    event = understood(entry)
    return event.source if isinstance(event, DocumentPublished) and isinstance(event.source, Claim) else None


def line(entry: Entry) -> bytes:
    """A record, byte for byte."""
    key, value, headers = entry
    return json.dumps([_text(key), _text(value), [[name, _text(value)] for name, value in headers]]).encode() + b"\n"


def packed(entries: Iterable[Entry]) -> bytes:
    """What a file of these records holds."""
    return gzip.compress(b"".join(map(line, entries)))


def entries(archive: Archive, saved: Saved) -> Iterator[Entry]:
    """The records of a file. Raises Poison where it is damaged."""
    data = BytesIO(archive.get(saved.name))
    try:
        with gzip.open(data) as file:
            for key, value, headers in map(json.loads, file):
                yield _raw(key), _raw(value), [(name, _raw(header)) for name, header in headers]
    except (OSError, EOFError, ValueError) as error:
        raise Poison("backup-damaged", f"{saved.name!r} is damaged ({error}): take it from another copy") from error


def _text(value: bytes | None) -> str | None:
    return None if value is None else b64encode(value).decode()


def _raw(value: str | None) -> bytes | None:
    return None if value is None else b64decode(value)
