"""Dead letters as they are read: what is wrong with which record, and where it came from."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Self

from schemas import Event
from streams.letters.history import Failure, earlier
from streams.runtime.deadletters import PREFIX
from streams.runtime.headers import deadline_of
from streams.runtime.records import Record
from streams.topics import CANDIDATES, EVIDENCE, QUERIES, TOPICS
from streams.wiring import Topic

BY_LETTERS: Mapping[str, Topic[Event]] = {topic.dead_letter_name: topic for topic in TOPICS if topic.dead_letters}
"""Every topic that has dead letters, by the name of the topic that holds them."""
QUESTIONS = frozenset(topic.dead_letter_name for topic in (QUERIES, CANDIDATES, EVIDENCE))
"""Where a record is about a question, which may have a deadline."""


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Where a record lies: a letter's id, and what its source is named by."""

    topic: str
    """Without the deployment's prefix."""
    partition: int
    offset: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """The place that `str` wrote. Raises ValueError."""
        topic, partition, offset = text.rsplit("/", 2)
        if not (topic and text.isascii() and partition.isdecimal() and offset.isdecimal()):
            raise ValueError(text)
        return cls(topic, int(partition), int(offset))

    def __str__(self) -> str:
        return f"{self.topic}/{self.partition}/{self.offset}"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """What a dead letter says about its record, without the record's value."""

    id: Place
    key: str
    """`tenant/document_id` or the query's id; empty where the record had none."""
    stage: str
    code: str
    """Empty, as is `stage`, where something else than a worker wrote the letter."""
    detail: str
    attempts: int
    time: datetime
    trace: str
    """32 hex digits; empty where nothing traced."""
    source: Place | None
    """The record that was being processed."""
    size_bytes: int
    omitted_bytes: int | None
    """Of a value that did not fit and stayed at the source."""
    deadline: datetime | None
    """Of the question that it is about; None where it has none."""
    history: tuple[Failure, ...]
    """Earlier failures of the record, each followed by a replay; the oldest first."""
    written_ms: int
    """The letter's own timestamp: with its id, this tells it from those of a topic that was deleted and made anew."""

    @property
    def topic(self) -> Topic[Event]:
        """Where its record belongs."""
        return BY_LETTERS[self.id.topic]

    @property
    def failure(self) -> Failure:
        """This failure, as it goes into the history of a replayed record."""
        return Failure(self.stage, self.code, self.detail, self.time.isoformat(), self.attempts)

    def late(self, now: datetime) -> bool:
        """Whether nobody waits for the answer any more."""
        return self.deadline is not None and self.deadline <= now


def read_letter(record: Record, prefix: str) -> DeadLetter:
    """The letter in a record of a dead-letter topic; whatever is malformed counts as absent."""
    said = {name: _text(value) for name, value in record.headers if name.startswith(PREFIX)}
    name = record.topic.removeprefix(prefix)
    trace = said.get(f"{PREFIX}trace", "")
    return DeadLetter(
        id=Place(name, record.partition, record.offset),
        key=_text(record.key),
        stage=said.get(f"{PREFIX}stage", ""),
        code=said.get(f"{PREFIX}code", ""),
        detail=said.get(f"{PREFIX}detail", ""),
        attempts=_number(said.get(f"{PREFIX}attempts")) or 1,
        time=_time(said.get(f"{PREFIX}time"), record.timestamp_ms),
        trace=trace if trace.strip("0") else "",
        source=_source(said, prefix),
        size_bytes=record.size_bytes,
        omitted_bytes=_number(said.get(f"{PREFIX}omitted-bytes")),
        deadline=deadline_of(record, BY_LETTERS[name]) if name in QUESTIONS else None,
        history=earlier(record.headers),
        written_ms=record.timestamp_ms,
    )


def original(record: Record) -> list[tuple[str, bytes | None]]:
    """The headers that the record had before it became a letter."""
    return [(name, value) for name, value in record.headers if not name.startswith(PREFIX)]


def _source(said: Mapping[str, str], prefix: str) -> Place | None:
    partition, offset = _number(said.get(f"{PREFIX}source-partition")), _number(said.get(f"{PREFIX}source-offset"))
    topic = said.get(f"{PREFIX}source-topic", "").removeprefix(prefix)
    return None if partition is None or offset is None or not topic else Place(topic, partition, offset)


def _time(text: str | None, written_ms: int) -> datetime:
    try:
        time = datetime.fromisoformat(text or "")
    except ValueError:
        return datetime.fromtimestamp(max(0, written_ms) / 1000, UTC)
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def _text(value: bytes | None) -> str:
    return (value or b"").decode(errors="replace")


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isascii() and text.isdecimal() and len(text) < 19 else None
