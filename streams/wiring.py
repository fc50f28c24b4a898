"""What a wiring table is made of: topics, stages, pipelines."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from schemas import Event

E = TypeVar("E", bound=Event)
E_co = TypeVar("E_co", bound=Event, covariant=True)
In = TypeVar("In", bound=Event)
Out = TypeVar("Out", bound=Event)

DAY_MS = 24 * 60 * 60 * 1000
DEAD_LETTER_SUFFIX = "-dlq"


@dataclass(frozen=True, slots=True)
class Topic(Generic[E_co]):
    """A named stream of events of the classes in `events`."""

    name: str
    """Without the deployment's prefix."""
    events: tuple[type[E_co], ...]
    purpose: str
    key: str = "tenant/document_id"
    """What the record key is made of, for the contract's readers."""
    partitions: int = 8
    retention_ms: int = 7 * DAY_MS
    dead_letters: bool = True
    replies: bool = False
    """What is written goes where each question's `reply_to` says; this topic is what callers name by default."""

    @property
    def dead_letter_name(self) -> str:
        return self.name + DEAD_LETTER_SUFFIX


@dataclass(frozen=True, slots=True)
class Sink(Topic[E]):
    """A topic that stages write. Readers may take it for a topic of more classes, writers may not: it is invariant."""


Outputs = Awaitable[Sequence[Out]] | AsyncIterator[Out]
Processor = Callable[[In], Outputs[Out]]
"""One event in; zero or more out, at once or as a stream."""


class Stage:
    """A processor between two topics, in a consumer group of its own.

    That it understands all that its source carries, and that its sink carries all that it makes, is checked where
    it is built, by the type checker.
    """

    def __init__(self, name: str, source: Topic[In], processor: Processor[In, Out], sink: Sink[Out]) -> None:
        def process(event: Event) -> Outputs[Event]:
            if not isinstance(event, source.events):
                raise TypeError(f"{type(event).__name__} does not travel on {source.name!r}, which {name!r} reads")
            return processor(event)

        self.name = name
        self.source: Topic[Event] = source
        self.processor: object = processor
        self.process: Callable[[Event], Outputs[Event]] = process
        self.sink: Topic[Event] = sink


@dataclass(frozen=True, slots=True)
class Pipeline:
    """Stages in order, and where a sender learns that one of them cannot process its event."""

    name: str
    stages: tuple[Stage, ...]
    failures: Topic[Event]
