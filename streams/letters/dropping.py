"""Dropping: letters that nobody will replay are noted as such, and deleted where nothing open lies before them."""

from collections.abc import Callable, Sequence

from streams.letters.box import Box
from streams.letters.letter import DeadLetter
from streams.letters.log import Log
from streams.letters.selection import Selection
from streams.letters.settled import settle
from streams.runtime.clock import Clock
from streams.runtime.offsets import Partition
from streams.runtime.records import Broker

BATCH = 500
"""Marks on their way at once."""


async def drop(
    broker: Broker, letters: Sequence[DeadLetter], *, clock: Clock, prefix: str, check: Callable[[], None]
) -> None:
    """Settle letters without replaying them. `check` raises where it is not our turn any more."""
    for start in range(0, len(letters), BATCH):
        check()
        await settle(broker, letters[start : start + BATCH], "dropped", clock=clock, prefix=prefix)


def delete_settled(log: Log, prefix: str) -> int:
    """Delete all letters before the first open one of each partition; how many that were.

    Kafka deletes from a partition's beginning only. What lies behind an open letter stays until that one is settled,
    or until the topic's retention is over.
    """
    box = Box.read(log, prefix, Selection())
    kept: dict[Partition, int] = {}
    for letter in reversed(box.open):
        kept[letter.id.topic, letter.id.partition] = letter.id.offset
    cuts: dict[Partition, int] = {}
    deleted = 0
    for letter, _ in box.settled:
        partition = (letter.id.topic, letter.id.partition)
        if letter.id.offset < kept.get(partition, letter.id.offset + 1):
            cuts[partition] = letter.id.offset + 1
            deleted += 1
    log.delete(cuts)
    return deleted
