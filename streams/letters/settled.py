"""Which letters are settled, and how: one small record per letter in a compacted topic."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import orjson

from streams.letters.letter import DeadLetter, Place
from streams.runtime.clock import Clock
from streams.runtime.records import Broker, Outgoing, Record
from streams.topics import LETTERS_SETTLED

How = Literal["replayed", "dropped"]


@dataclass(frozen=True, slots=True)
class Mark:
    """What was done with a letter."""

    how: How
    at: str
    """RFC 3339."""
    written_ms: int
    """The letter's timestamp."""


async def settle(broker: Broker, letters: Sequence[DeadLetter], how: How, *, clock: Clock, prefix: str) -> None:
    """Note, for good, what was done with these letters. Raises ConnectionError and Poison, as the broker does."""
    at = clock.now()
    await asyncio.gather(*[await broker.send(_marked(letter, how, at, prefix)) for letter in letters])


def _marked(letter: DeadLetter, how: How, at: datetime, prefix: str) -> Outgoing:
    value = orjson.dumps({"how": how, "at": at.isoformat(), "written_ms": letter.written_ms})
    headers = [("content-type", b"application/json")]
    return Outgoing(topic=prefix + LETTERS_SETTLED, key=str(letter.id).encode(), value=value, headers=headers)


def marks(records: Iterable[Record]) -> dict[Place, Mark]:
    """The last mark of every letter; what is no mark is passed over."""
    found: dict[Place, Mark] = {}
    for record in records:
        try:
            place, said = Place.parse((record.key or b"").decode()), orjson.loads(record.value or b"")
        except ValueError:  # of the three that may be wrong, each raises a kind of it
            continue
        match said:
            case {"how": "replayed" | "dropped" as how, "at": str(at), "written_ms": int(written_ms)}:
                found[place] = Mark(how, at, written_ms)
    return found


def mark_of(letter: DeadLetter, known: Mapping[Place, Mark]) -> Mark | None:
    """What was done with this letter; None: it is open."""
    mark = known.get(letter.id)
    return mark if mark is not None and mark.written_ms == letter.written_ms else None
