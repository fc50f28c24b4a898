"""The ledger: what was published, received, asked, answered, put aside and broken; a line is never changed."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import orjson
from pydantic import Field, TypeAdapter

Address = tuple[str, str, int, str]
"""Tenant, document, version and time of publication: what tells one document event from all others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """A version of a document, or its deletion, was sent; in the order in which the sender meant them."""

    tenant: str
    document: str
    version: int
    published_at: str
    marks: tuple[str, ...] = ()
    """Words that occur in this version's text, each in one passage; none: the document is deleted."""
    poison: bool = False
    """It can never be indexed: it must be rejected, and change nothing."""
    acknowledged: bool = True
    """False: the broker did not say that it has it, so it may be there or not."""
    at_s: float = field(default_factory=time.time)
    kind: Literal["published"] = "published"

    @property
    def address(self) -> Address:
        return self.tenant, self.document, self.version, self.published_at


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """A receipt arrived; in the order of its partition, and so of its document."""

    tenant: str
    document: str
    version: int
    published_at: str
    outcome: Literal["indexed", "unchanged", "erased", "rejected"]
    code: str = ""
    event_id: str = ""
    at_s: float = field(default_factory=time.time)
    kind: Literal["received"] = "received"

    @property
    def address(self) -> Address:
        return self.tenant, self.document, self.version, self.published_at


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A question was sent."""

    query: str
    acknowledged: bool = True
    at_s: float = field(default_factory=time.time)
    kind: Literal["asked"] = "asked"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """A final event of a question arrived."""

    query: str
    outcome: Literal["completed", "refused", "failed"]
    code: str = ""
    event_id: str = ""
    at_s: float = field(default_factory=time.time)
    kind: Literal["answered"] = "answered"


@dataclass(frozen=True, slots=True, kw_only=True)
class Buried:
    """A dead letter arrived."""

    topic: str
    """Without the deployment's prefix."""
    key: str
    code: str
    at_s: float = field(default_factory=time.time)
    kind: Literal["buried"] = "buried"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """Something was broken on purpose, or broke."""

    what: str
    target: str
    struck: bool
    """Whether there was work in hand that it could harm."""
    evidence: str
    """How that is known."""
    at_s: float = field(default_factory=time.time)
    kind: Literal["fault"] = "fault"


Entry = Published | Received | Asked | Answered | Buried | Fault
ADAPTER: TypeAdapter[Entry] = TypeAdapter(Annotated[Entry, Field(discriminator="kind")])


class Ledger:
    """Entries in the order in which they were noted, in memory and as JSON lines in a file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.entries: list[Entry] = []
        self._file = path.open("ab", buffering=0)

    def note(self, entry: Entry) -> None:
        self._file.write(orjson.dumps(asdict(entry), option=orjson.OPT_APPEND_NEWLINE))
        self.entries.append(entry)

    def faults(self, *, struck: bool = True) -> Sequence[Fault]:
        return [entry for entry in self.entries if isinstance(entry, Fault) and entry.struck == struck]

    def close(self) -> None:
        self._file.close()


def read(path: Path) -> Iterator[Entry]:
    """The entries of a ledger that was written before."""
    for line in path.read_bytes().splitlines():
        yield ADAPTER.validate_json(line)
