"""Whole topics, read and cut, as work on letters needs it; topics are named without the deployment's prefix."""

from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from typing import Protocol

from streams.letters.letter import Place
from streams.runtime.offsets import Partition
from streams.runtime.records import Record

Positions = Mapping[Partition, int]
"""An offset in each partition."""


class Log(Protocol):
    """What lies on the broker's topics. Everything blocks, and raises ConnectionError where the broker is away."""

    def starts(self, topics: Sequence[str]) -> Positions:
        """The first offset that is still there, of every partition. Raises TopicMissing."""
        ...

    def scan(self, positions: Positions) -> Generator[Record, None, None]:
        """Every record from these offsets, or the first that is still there, up to where the partitions end now.

        In order within each partition. Close it where it is not read to its end.
        """
        ...

    def delete(self, before: Positions) -> None:
        """Delete, for good, what lies before these offsets."""
        ...


def fetch(log: Log, place: Place) -> Record | None:
    """The record that lies at a place, if it is still there."""
    with closing(log.scan({(place.topic, place.partition): place.offset})) as records:
        record = next(records, None)
    return record if record is not None and record.offset == place.offset else None
