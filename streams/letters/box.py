"""The box of letters: all that are open, and all that were settled, as the topics have it now."""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass

from streams.letters.letter import BY_LETTERS, DeadLetter, Place, read_letter
from streams.letters.log import Log, Positions
from streams.letters.selection import Selection
from streams.letters.settled import Mark, mark_of, marks
from streams.runtime.offsets import Partition
from streams.topics import LETTERS_SETTLED


@dataclass(frozen=True, slots=True)
class Box:
    """Letters that a selection picks, in the order of their topics and offsets; their records stay on the broker."""

    open: Sequence[DeadLetter]
    settled: Sequence[tuple[DeadLetter, Mark]]

    @classmethod
    def read(cls, log: Log, prefix: str, selection: Selection) -> "Box":
        """Raises TopicMissing and ConnectionError."""
        picked: list[DeadLetter] = []
        with closing(log.scan(_positions(log, selection))) as records:
            for record in records:
                letter = read_letter(record, prefix)
                if selection.picks(letter):
                    picked.append(letter)
                if selection.ids is not None and len(picked) == len(selection.ids):
                    break
        # Only now: what was settled while the letters were read is known.
        with closing(log.scan(log.starts([LETTERS_SETTLED]))) as records:
            known = marks(records)
        opened, settled = [], []
        for letter in sorted(picked, key=lambda letter: letter.id):
            mark = mark_of(letter, known)
            if mark is None:
                opened.append(letter)
            else:
                settled.append((letter, mark))
        return cls(opened, settled)

    def missing(self, selection: Selection) -> Sequence[Place]:
        """Ids at which no letter lies, or none any more."""
        found = {letter.id for letter in self.open} | {letter.id for letter, _ in self.settled}
        return sorted((selection.ids or frozenset()) - found)


def _positions(log: Log, selection: Selection) -> Positions:
    """From where letters are read: all of them, or from the first one that is named on."""
    if selection.ids is None:
        return log.starts(sorted(BY_LETTERS))
    named: dict[Partition, int] = {}
    for place in sorted(selection.ids, reverse=True):
        named[place.topic, place.partition] = place.offset
    there = log.starts(sorted({place.topic for place in selection.ids}))
    return {partition: offset for partition, offset in named.items() if partition in there}
