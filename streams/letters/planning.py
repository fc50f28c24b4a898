"""What a replay will do, letter by letter, before it does anything."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from streams.letters.letter import DeadLetter, Place
from streams.letters.log import Positions


@dataclass(frozen=True, slots=True)
class Step:
    """One record to be written, and the letters that this settles."""

    letters: tuple[DeadLetter, ...]
    topic: str
    source: Place | None = None
    """The record to publish again; None: what the letter itself holds."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A letter that cannot be replayed, and why."""

    letter: DeadLetter
    reason: str


@dataclass(slots=True)
class Plan:
    """Every letter that was meant, in one of three places."""

    steps: list[Step] = field(default_factory=list)
    """In the order in which the letters were written, so that a key's records keep theirs."""
    refusals: list[Refusal] = field(default_factory=list)
    late: list[DeadLetter] = field(default_factory=list)
    """Of questions past their deadline: nobody would get the answer."""


def plan(letters: Iterable[DeadLetter], *, kept: Positions, now: datetime | None) -> Plan:
    """What a replay of these letters means.

    `kept`: the oldest offset in every partition of the topics that workers read. `now`: leave out questions past their
    deadline; None: the letters were named, so replay those as well.
    """
    made = Plan()
    reads = {topic for topic, _ in kept}
    whole: dict[Place, list[DeadLetter]] = {}
    again: dict[Place, list[DeadLetter]] = {}
    for letter in letters:
        if now is not None and letter.late(now):
            made.late.append(letter)
        elif letter.omitted_bytes is None and letter.topic.name in reads:
            # A worker that is started again puts the same record aside again: its letters hold the same.
            same = letter.source if letter.source and letter.source.topic == letter.topic.name else letter.id
            whole.setdefault(same, []).append(letter)
        elif reason := _no_source(letter, reads, kept):
            made.refusals.append(Refusal(letter, reason))
        elif letter.source is not None:
            again.setdefault(letter.source, []).append(letter)
    made.steps += [Step(tuple(settled), settled[0].topic.name) for settled in whole.values()]
    made.steps += [Step(tuple(settled), source.topic, source) for source, settled in sorted(again.items())]
    return made


def _no_source(letter: DeadLetter, reads: Collection[str], kept: Positions) -> str:
    """Why the record that the letter came of cannot be published again; empty where it can."""
    why = (
        f"its value of {letter.omitted_bytes:,} bytes did not fit the letter"
        if letter.omitted_bytes is not None
        else f"no stage reads {letter.topic.name!r} under the present segments"
    )
    source = letter.source
    if source is None:
        return f"{why}, and it does not say where its record came from"
    if source.topic not in reads:
        return f"{why}, nor {source.topic!r}, where its record came from: set segments that do, or publish it anew"
    first = kept.get((source.topic, source.partition))
    if first is None or source.offset < first:
        return f"{why}, and the record that it came from, {source}, is not kept any more: publish it anew"
    return ""


def counts(steps: Sequence[Step]) -> Mapping[str, int]:
    """How many records go to each topic."""
    return Counter(step.topic for step in steps)
