"""What a wiring table is made of: topics, stages, pipelines."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from schemas import Event

E = TypeVar("E", bound=Event)
In = TypeVar("In", bound=Event)
Out = TypeVar("Out", bound=Event)

DAY_MS = 24 * 60 * 60 * 1000
DEAD_LETTER_SUFFIX = "-dlq"


@dataclass(frozen=True, slots=True)
class Topic(Generic[E]):
    """A named stream of events of the classes in `events`."""

    name: str
    """Without the deployment's prefix."""
    events: tuple[type[E], ...]
    purpose: str
    key: str = "tenant/document_id"
    """What the record key is made of, for the contract's readers."""
    partitions: int = 8
    retention_ms: int = 7 * DAY_MS
    dead_letters: bool = True

    @property
    def dead_letter_name(self) -> str:
        return self.name + DEAD_LETTER_SUFFIX


Processor = Callable[[In], Awaitable[Sequence[Out]] | AsyncIterator[Out]]
"""One event in; zero or more out, at once or as a stream."""


class Failure(Protocol):
    """Makes the event that tells a sender what became of an event that cannot work."""

    def __call__(self, event: Any, *, stage: str, code: str, detail: str) -> Event: ...


@dataclass(frozen=True, slots=True)
class ReplyAddress(Generic[Out]):
    """Not a topic but the address that each question names, in its `reply_to`."""

    topic: Topic[Out]
    """What travels there, and where answers go by default."""


@dataclass(frozen=True, slots=True)
class Stage(Generic[In, Out]):
    """A processor between two topics, in a consumer group of its own."""

    name: str
    source: Topic[In]
    processor: Processor[In, Out]
    sink: Topic[Out] | ReplyAddress[Out]


@dataclass(frozen=True, slots=True)
class Pipeline:
    """Stages in order, and how a sender learns that one of them cannot process its event."""

    name: str
    stages: tuple[Stage[Any, Any], ...]
    failure: Failure
    failures: Topic[Any] | ReplyAddress[Any]
