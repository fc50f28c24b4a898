"""Small pipelines over the real topics and events, whose processors a test may replace; and what runs them."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from opentelemetry.trace import NoOpTracer, Tracer

from schemas import (
    AnswerCompleted,
    AnswerDelta,
    Chunk,
    ChunksEmbedded,
    ChunksExtracted,
    Document,
    DocumentDeleted,
    DocumentId,
    DocumentIndexed,
    DocumentPublished,
    Event,
    InlineText,
    PassagesRanked,
    PassagesRetrieved,
    QueryAsked,
    QueryId,
    ReplyTo,
    Tenant,
    decode,
    encode,
    text_hash,
)
from streams.runtime.breaker import Breaker
from streams.runtime.clock import Clock
from streams.runtime.engines.memory import MemoryBroker, MemoryEngine
from streams.runtime.handler import Handler
from streams.runtime.headers import Incoming, outgoing
from streams.runtime.interrupts import Cancelled, Interrupts
from streams.runtime.outbox import Outbox
from streams.runtime.records import Broker, Outgoing, Record
from streams.runtime.retry import Retry
from streams.runtime.segments import Segment, segments
from streams.runtime.work import Work
from streams.topics import ANSWERS, CANDIDATES, CHUNKS, DOCUMENTS, EVIDENCE, QUERIES, RECEIPTS, TOPICS, VECTORS
from streams.wiring import Pipeline, Processor, Stage

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
MAX_BYTES = 100_000
PREFIX = "p."
Stages = Mapping[str, Processor[Any, Any]]


class ManualClock:
    """Time that passes only when someone sleeps."""

    def __init__(self) -> None:
        self.slept: list[float] = []

    def now(self) -> datetime:
        return datetime.fromtimestamp(NOW.timestamp() + sum(self.slept), UTC)

    def monotonic(self) -> float:
        return sum(self.slept)

    async def sleep(self, delay_s: float) -> None:
        self.slept.append(delay_s)


def document(name: str = "d1", text: str = "one two", version: int = 1) -> DocumentPublished:
    return DocumentPublished(
        tenant=Tenant("t"),
        document_id=DocumentId(name),
        version=version,
        published_at=NOW,
        source=InlineText(text=text),
        media_type="text/plain",
    )


def question(query_id: str = "q1", *, deadline: datetime | None = None, to: ReplyTo | None = None) -> QueryAsked:
    return QueryAsked(
        query_id=QueryId(query_id),
        tenant=Tenant("t"),
        text="what?",
        reply_to=to or ReplyTo(topic="replies", partition=3),
        asked_at=NOW,
        deadline=deadline,
    )


async def chunk(event: DocumentPublished | DocumentDeleted) -> Sequence[ChunksExtracted | DocumentDeleted]:
    """A slice per word."""
    if isinstance(event, DocumentDeleted):
        return [event]
    assert isinstance(event.source, InlineText)
    words = event.source.text.split()
    about = Document(
        tenant=event.tenant,
        document_id=event.document_id,
        version=event.version,
        published_at=event.published_at,
        media_type=event.media_type,
        title=event.title,
        metadata=event.metadata,
        readers=event.readers,
        digest="digest",
        chunk_count=len(words),
    )
    return [
        ChunksExtracted(
            document=about,
            slice=number,
            slices=len(words),
            chunks=(Chunk(ordinal=number, text=word, text_hash=text_hash(word)),),
        )
        for number, word in enumerate(words)
    ]


async def embed(event: ChunksExtracted) -> Sequence[ChunksEmbedded]:
    return [ChunksEmbedded.after(event, model="m", dimensions=1, vectors=b"\0\0\0\0", embedded=1)]


async def upsert(event: ChunksEmbedded) -> Sequence[DocumentIndexed]:
    """A receipt per slice, so that tests can count them."""
    about = event.document
    return [
        DocumentIndexed(
            tenant=about.tenant,
            document_id=about.document_id,
            version=about.version,
            published_at=about.published_at,
            chunks=event.slice,
            embedded=event.embedded,
            model=event.model,
        )
    ]


async def retrieve(event: QueryAsked) -> Sequence[PassagesRetrieved]:
    return [PassagesRetrieved(query=event, passages=())]


async def rerank(event: PassagesRetrieved) -> Sequence[PassagesRanked]:
    return [PassagesRanked(query=event.query, passages=())]


async def generate(event: PassagesRanked) -> AsyncIterator[AnswerDelta | AnswerCompleted]:
    for index, text in enumerate(("so ", "it is")):
        yield AnswerDelta(query_id=event.query.query_id, attempt="a", index=index, text=text)
    yield completed(event.query.query_id)


def completed(query_id: QueryId) -> AnswerCompleted:
    return AnswerCompleted(
        query_id=query_id, attempt="a", text="so it is", citations=(), confidence=1.0, mode="extractive", model="m"
    )


PROCESSORS: Stages = {
    "chunk": chunk,
    "embed": embed,
    "upsert": upsert,
    "retrieve": retrieve,
    "rerank": rerank,
    "generate": generate,
}


def ingest(**replaced: Processor[Any, Any]) -> Pipeline:
    do = {**PROCESSORS, **replaced}
    return Pipeline(
        "ingest",
        (
            Stage("chunk", DOCUMENTS, do["chunk"], CHUNKS),
            Stage("embed", CHUNKS, do["embed"], VECTORS),
            Stage("upsert", VECTORS, do["upsert"], RECEIPTS),
        ),
        failures=RECEIPTS,
    )


def query(**replaced: Processor[Any, Any]) -> Pipeline:
    do = {**PROCESSORS, **replaced}
    return Pipeline(
        "query",
        (
            Stage("retrieve", QUERIES, do["retrieve"], CANDIDATES),
            Stage("rerank", CANDIDATES, do["rerank"], EVIDENCE),
            Stage("generate", EVIDENCE, do["generate"], ANSWERS),
        ),
        failures=ANSWERS,
    )


@dataclass(frozen=True)
class Said:
    """An event that was written, and the record that carried it."""

    event: Event
    record: Record

    @property
    def headers(self) -> Mapping[str, str]:
        return {name: (value or b"").decode() for name, value in self.record.headers}


class Bench:
    """A pipeline on the memory engine, with a clock that stands still."""

    def __init__(
        self,
        pipeline: Pipeline,
        segmentation: str,
        *,
        tracer: Tracer | None = None,
        clock: ManualClock | None = None,
        breaker: Breaker | None = None,
    ) -> None:
        self.clock = clock or ManualClock()
        self.breaker = breaker
        names = [name for topic in TOPICS for name in (topic.name, topic.dead_letter_name)]
        self.broker = MemoryBroker(
            self.clock, {**{PREFIX + name: 4 for name in names}, "replies": 4}, max_record_bytes=MAX_BYTES
        )
        self.engine = MemoryEngine(self.broker)
        self.cancelled = Cancelled(self.clock)
        self.tracer = tracer or NoOpTracer()
        self.segments = segments(pipeline, segmentation)
        for segment in self.segments:
            topic = PREFIX + segment.source.name
            self.engine.host(segment.group(PREFIX), topic, handler(segment, self.broker, self.clock, self))

    async def publish(self, *events: Event, headers: Mapping[str, bytes] | None = None) -> None:
        """Write events as a producer would, to the first topic of the pipeline."""
        topic = PREFIX + self.segments[0].source.name
        for event in events:
            fresh = outgoing(event, event_id="1", source="/test", time=NOW)
            fresh += [(name, value) for name, value in (headers or {}).items()]
            await self.write(topic, encode(event), key=event.key.encode(), headers=fresh)

    async def write(self, topic: str, value: bytes | None, *, key: bytes | None = b"k", headers: Any = ()) -> None:
        await (await self.broker.send(Outgoing(topic=topic, key=key, value=value, headers=headers)))

    def said(self, topic: str, *, prefix: str = PREFIX) -> list[Said]:
        """Every event on a topic."""
        events = {each.name: each.events for each in TOPICS}
        expected = events.get(topic.removesuffix("-dlq"), ANSWERS.events)
        return [
            Said(decode(record.value, Incoming.of(record.headers).ce_type, expected), record)
            for record in self.broker.records(prefix + topic)
        ]

    def replies(self) -> list[Said]:
        return self.said("replies", prefix="")

    def letters(self, topic: str) -> list[Record]:
        """Dead letters of a topic, as they were written."""
        return list(self.broker.records(f"{PREFIX}{topic}-dlq"))


def handler(segment: Segment, broker: Broker, clock: Clock, bench: Bench) -> Handler:
    outbox = Outbox(broker, prefix=PREFIX, clock=clock, max_record_bytes=MAX_BYTES)
    retry = Retry(first_delay_s=1.0, budget_s=60.0, random=lambda: 1.0)
    work = Work(outbox=outbox, interrupts=Interrupts(clock, bench.cancelled), retry=retry, clock=clock)
    return Handler(
        segment=segment,
        prefix=PREFIX,
        broker=broker,
        outbox=outbox,
        work=work,
        clock=clock,
        tracer=bench.tracer,
        breaker=bench.breaker or Breaker(max_bugs=3),
    )


def dlq(record: Record) -> Mapping[str, str]:
    """The reasons on a dead letter."""
    return {name: (value or b"").decode() for name, value in record.headers if name.startswith("dlq-")}
