"""The workload: documents that several tenants create, update and delete, and questions, all drawn from a seed."""

import asyncio
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from random import Random

from processors.errors import Poison
from schemas import DocumentDeleted, DocumentId, DocumentPublished, InlineText, QueryAsked, QueryId, ReplyTo, Tenant
from streams.sender import Sender
from streams.settings import Settings
from streams.topics import ANSWERS, DOCUMENTS, QUERIES
from tests.chaos.ledger import Asked, Ledger, Published

WORDS = ("water", "mill", "river", "stone", "lock", "weir", "barge", "spring", "delta", "ford", "bank", "flood")


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """How much of what. Shares are of all document events."""

    documents: int = 30
    events: int = 120
    """Document events: creations, updates, deletions."""
    questions: int = 20
    tenants: int = 3
    over_s: float = 6.0
    """The time over which they are spread; 0: as fast as the broker takes them."""
    deleted: float = 0.1
    unchanged: float = 0.05
    """Published again with a higher version and the same content."""
    poison: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Write:
    """A document event to send."""

    tenant: str
    document: str
    version: int
    marks: tuple[str, ...]
    """Empty: a deletion, unless it is poison."""
    poison: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """A question to send."""

    tenant: str
    query: str
    text: str
    document: str = ""
    """The only one to look in; empty: all."""
    min_versions: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Step:
    """What to send, and when after the start."""

    at_s: float
    what: Write | Ask


def planned(shape: Shape, random: Random) -> tuple[Step, ...]:
    """The steps, in order; versions of a document grow, and an update keeps some of the passages before it."""
    kinds = ["write"] * shape.events + ["ask"] * shape.questions
    random.shuffle(kinds)
    times = sorted(random.uniform(0, shape.over_s) for _ in kinds)
    documents = [(f"tenant{number % shape.tenants}", f"doc{number}") for number in range(shape.documents)]
    versions = dict.fromkeys(documents, 0)
    marks: dict[tuple[str, str], tuple[str, ...]] = dict.fromkeys(documents, ())
    steps: list[Step] = []
    for at_s, kind in zip(times, kinds, strict=True):
        tenant, document = where = random.choice(documents)
        if kind == "ask":
            about = random.choice(marks[where] or ("nothing",))
            text = f"Which {random.choice(WORDS)} is at {about}?"
            steps.append(Step(at_s, Ask(tenant=tenant, query=f"{random.getrandbits(64):016x}", text=text)))
            continue
        versions[where] += 1
        write = Write(tenant=tenant, document=document, version=versions[where], marks=(), poison=False)
        if random.random() < shape.poison:
            steps.append(Step(at_s, replace(write, poison=True)))
            continue
        marks[where] = _changed(shape, random, marks[where])
        steps.append(Step(at_s, replace(write, marks=marks[where])))
    return tuple(steps)


def disordered(steps: Sequence[Step], random: Random, *, repeated: float = 0.3) -> tuple[Step, ...]:
    """The same events in any order, a share of them sent again, at the same times."""
    what = [step.what for step in steps]
    what += [each for each in what if isinstance(each, Write) and random.random() < repeated]
    random.shuffle(what)
    times = [*(step.at_s for step in steps), *(steps[-1].at_s for _ in what[len(steps) :])]
    return tuple(Step(at_s, each) for at_s, each in zip(times, what, strict=True))


def _changed(shape: Shape, random: Random, before: tuple[str, ...]) -> tuple[str, ...]:
    chance = random.random()
    if before and chance < shape.deleted:
        return ()
    if before and chance < shape.deleted + shape.unchanged:
        return before
    kept = [mark for mark in before if random.random() < 0.5]
    return (*kept, *(f"mark{random.getrandbits(40):010x}" for _ in range(random.randint(1, 4))))


def text_of(marks: Sequence[str]) -> str:
    """A paragraph for each mark, of which each becomes a passage of its own or shares one with others."""
    return "\n\n".join(_paragraph(mark) for mark in marks)


def marks_in(text: str) -> tuple[str, ...]:
    """The marks of the paragraphs in a passage."""
    return tuple(re.findall(r"\bmark[0-9a-f]{10}\b", text))


def _paragraph(mark: str) -> str:
    own = Random(mark)
    return " ".join((f"At {mark} stands the", *own.choices(WORDS, k=25))) + "."


class Driver:
    """Sends the steps of a workload in their order and notes each in the ledger, with the broker's word on it."""

    def __init__(self, sender: Sender, settings: Settings, ledger: Ledger, random: Random) -> None:
        self._sender = sender
        self._settings = settings
        self._ledger = ledger
        self._random = random

    async def drive(self, steps: Sequence[Step]) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        for step in steps:
            await asyncio.sleep(max(0.0, began + step.at_s - loop.time()))
            await self.send(step.what)

    async def send(self, what: Write | Ask) -> None:
        """Returns when the broker has it, or when the sender has given up."""
        if isinstance(what, Write):
            event = document_event(what)
            self._ledger.note(published(what, event, acknowledged=await self._sent(event)))
        else:
            topic = self._settings.topic_prefix + ANSWERS.name
            query = question(what, ReplyTo(topic=topic, partition=self._random.randrange(ANSWERS.partitions)))
            self._ledger.note(Asked(query=what.query, acknowledged=await self._sent(query)))

    async def _sent(self, event: DocumentPublished | DocumentDeleted | QueryAsked) -> bool:
        try:
            if isinstance(event, QueryAsked):
                await self._sender.send(QUERIES, event)
            else:
                await self._sender.send(DOCUMENTS, event)
        except (ConnectionError, Poison):
            return False
        return True


def document_event(what: Write) -> DocumentPublished | DocumentDeleted:
    """What a producer sends."""
    tenant, document, now = Tenant(what.tenant), DocumentId(what.document), datetime.now(UTC)
    if not what.marks and not what.poison:
        return DocumentDeleted(tenant=tenant, document_id=document, version=what.version, published_at=now)
    return DocumentPublished(
        tenant=tenant,
        document_id=document,
        version=what.version,
        published_at=now,
        source=InlineText(text=text_of(what.marks)),  # no text at all is what makes a document poison
        media_type="text/plain",
        title=what.document,
        metadata={"document": what.document},
    )


def question(what: Ask, reply_to: ReplyTo) -> QueryAsked:
    """What a caller sends."""
    return QueryAsked(
        query_id=QueryId(what.query),
        tenant=Tenant(what.tenant),
        text=what.text,
        reply_to=reply_to,
        asked_at=datetime.now(UTC),
        filters={"document": what.document} if what.document else {},
        min_versions={DocumentId(document): version for document, version in what.min_versions.items()},
    )


def published(what: Write, event: DocumentPublished | DocumentDeleted, *, acknowledged: bool = True) -> Published:
    """The ledger's entry for an event that was sent."""
    return Published(
        tenant=what.tenant,
        document=what.document,
        version=what.version,
        published_at=event.published_at.isoformat(),
        marks=what.marks,
        poison=what.poison,
        acknowledged=acknowledged,
    )


def tenants(steps: Sequence[Step]) -> Iterator[str]:
    """Each tenant once."""
    yield from dict.fromkeys(step.what.tenant for step in steps)
