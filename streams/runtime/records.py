"""Records as the runtime sees them, and the broker that takes new ones."""

from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from typing import Protocol

Headers = Sequence[tuple[str, bytes | None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A record as it was read from a topic."""

    topic: str
    """As the broker names it, prefix included."""
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Headers
    timestamp_ms: int
    """When it was produced; 0 or less where nobody said."""

    @property
    def size_bytes(self) -> int:
        return len(self.key or b"") + len(self.value or b"")


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """A record to be written."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Headers
    partition: int | None = None
    """None: chosen by the key."""


class Broker(Protocol):
    """Takes records for good."""

    async def send(self, record: Outgoing) -> Awaitable[None]:
        """Queue a record, in order per partition; what comes back is done when the broker has acknowledged it.

        Waits only while the queue is full. The acknowledgement raises Poison `record-too-large` where the broker
        never takes it and Poison `unknown-partition` where topic or partition do not exist; NotAllowed where it takes
        none of ours; ConnectionError where it cannot be reached for longer than the producer keeps trying.
        """
        ...

    async def reaches(self, topic: str, partition: int) -> bool:
        """Whether this partition exists; true where nobody can tell, because the broker does not answer."""
        ...
