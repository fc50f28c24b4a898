"""Which offset may be committed: only what is finished without a gap, only in the generation that owns it."""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

Partition = tuple[str, int]
"""Topic and partition."""


@dataclass(slots=True)
class _Prefix:
    """Records of one partition in one generation, in the order in which they arrived."""

    generation: int
    unfinished: deque[int] = field(default_factory=deque)
    finished: set[int] = field(default_factory=set)
    last: int = -1
    position: int = -1
    """The next offset to read after a restart; -1 before anything is finished."""
    committed: int = -1

    def finish(self, offset: int) -> None:
        self.finished.add(offset)
        while self.unfinished and self.unfinished[0] in self.finished:
            done = self.unfinished.popleft()
            self.finished.discard(done)
            self.position = done + 1


class Offsets:
    """Keeps count per partition and generation. A generation is what the consumer group calls one assignment."""

    def __init__(self) -> None:
        self._prefixes: dict[Partition, _Prefix] = {}
        self._revoked: dict[Partition, int] = {}

    def start(self, partition: Partition, offset: int, generation: int) -> bool:
        """Whether to process this record: false where it is stale, or in hand already."""
        if generation <= self._revoked.get(partition, -1):
            return False
        prefix = self._prefixes.get(partition)
        if prefix is None or generation > prefix.generation:
            prefix = self._prefixes[partition] = _Prefix(generation)
        if generation < prefix.generation or offset <= prefix.last:
            return False
        prefix.last = offset
        prefix.unfinished.append(offset)
        return True

    def owns(self, partition: Partition, generation: int) -> bool:
        """Whether this generation is the newest one known for the partition."""
        prefix = self._prefixes.get(partition)
        return prefix is not None and prefix.generation == generation

    def finish(self, partition: Partition, offset: int, generation: int) -> None:
        """A record and everything that came of it is done; ignored where the partition has a new owner."""
        if self.owns(partition, generation):
            self._prefixes[partition].finish(offset)

    def revoke(self, partition: Partition) -> None:
        """The partition is about to be assigned anew: nothing of it counts any more, nor starts in that generation."""
        prefix = self._prefixes.pop(partition, None)
        if prefix is not None:
            self._revoked[partition] = prefix.generation

    def due(self, generation: int) -> Mapping[Partition, int]:
        """What this generation may commit: the next offset of each partition that moved since `committed` was told."""
        return {
            partition: prefix.position
            for partition, prefix in self._prefixes.items()
            if prefix.generation == generation and prefix.position > prefix.committed
        }

    def committed(self, positions: Mapping[Partition, int]) -> None:
        """The broker has taken these positions."""
        for partition, position in positions.items():
            if partition in self._prefixes:
                self._prefixes[partition].committed = position

    def in_flight(self) -> int:
        """How many records are started and not part of a finished prefix."""
        return sum(len(prefix.unfinished) for prefix in self._prefixes.values())
