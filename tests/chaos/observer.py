"""The observer: notes what the pipelines say in the ledger, and reads what the index shows and what is committed."""

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AsyncExitStack
from typing import Literal

from confluent_kafka import Consumer, TopicPartition

from processors.ports import Embedder, Index, Search
from schemas import (
    AnswerCompleted,
    AnswerRefused,
    DocumentErased,
    DocumentIndexed,
    DocumentRejected,
    DocumentUnchanged,
    QueryFailed,
    Receipt,
    Tenant,
    decode,
)
from streams.runtime.headers import Incoming
from streams.runtime.records import Record
from streams.settings import Settings
from streams.tail import Tail
from streams.topics import ANSWERS, CANDIDATES, CHUNKS, DOCUMENTS, EVIDENCE, QUERIES, RECEIPTS, TOPICS, VECTORS
from tests.chaos.checker import Dump, Visible
from tests.chaos.ledger import Answered, Buried, Ledger, Received
from tests.chaos.worker import SimplePorts
from tests.chaos.workload import marks_in

MAX_SHOWN = 4_000
"""Passages of a tenant that a dump can hold: more than any run makes, and it is checked."""
FOLLOWED = (RECEIPTS.name, ANSWERS.name, *(topic.dead_letter_name for topic in TOPICS if topic.dead_letters))
OUTCOMES: dict[type[Receipt], Literal["indexed", "unchanged", "erased", "rejected"]] = {
    DocumentIndexed: "indexed",
    DocumentUnchanged: "unchanged",
    DocumentErased: "erased",
    DocumentRejected: "rejected",
}

SOURCES = {
    "chunk": DOCUMENTS,
    "embed": CHUNKS,
    "upsert": VECTORS,
    "retrieve": QUERIES,
    "rerank": CANDIDATES,
    "generate": EVIDENCE,
}
COMMITTED_WITHIN_S = 20.0
"""Commits go once a second; what waits for a broker's answer, or for who takes over, takes a few more."""


class Observer:
    """Follows receipts, answers and dead letters from the moment it is opened. Open it before anything is sent."""

    def __init__(self, settings: Settings, ledger: Ledger) -> None:
        self._settings = settings
        self._ledger = ledger
        self._resources = AsyncExitStack()

    async def open(self) -> None:
        prefix = self._settings.topic_prefix
        for name in FOLLOWED:
            tail = Tail(self._settings.kafka_config, prefix + name)
            self._resources.push_async_callback(tail.close)
            await tail.open()
            tail.follow(self._hear)

    async def close(self) -> None:
        await self._resources.aclose()

    def _hear(self, records: Sequence[Record]) -> None:
        for record in records:
            if (entry := heard(record, self._settings.topic_prefix)) is not None:
                self._ledger.note(entry)


def heard(record: Record, prefix: str) -> Received | Answered | Buried | None:
    """What a record of the followed topics says; nothing for a piece of an answer."""
    topic = record.topic.removeprefix(prefix)
    if topic == RECEIPTS.name:
        return _receipt(record)
    if topic == ANSWERS.name:
        return _answer(record)
    return Buried(topic=topic, key=(record.key or b"").decode(errors="replace"), code=_header(record, "dlq-code"))


def _receipt(record: Record) -> Received:
    receipt = decode(record.value, Incoming.of(record.headers).ce_type, RECEIPTS.events)
    assert isinstance(receipt, Receipt)
    return Received(
        tenant=receipt.tenant,
        document=receipt.document_id,
        version=receipt.version,
        published_at=receipt.published_at.isoformat(),
        outcome=OUTCOMES[type(receipt)],
        code=receipt.code if isinstance(receipt, DocumentRejected) else "",
        event_id=_header(record, "ce_id"),
    )


def _answer(record: Record) -> Answered | None:
    outcome: Literal["completed", "refused", "failed"]
    match decode(record.value, Incoming.of(record.headers).ce_type, ANSWERS.events):
        case AnswerCompleted(query_id=query):
            outcome, code = "completed", ""
        case AnswerRefused(query_id=query, code=code):
            outcome = "refused"
        case QueryFailed(query_id=query, code=code):
            outcome = "failed"
        case _:
            return None
    return Answered(query=query, outcome=outcome, code=code, event_id=_header(record, "ce_id"))


async def dump(settings: Settings, tenants: Iterable[str]) -> Dump:
    """What the index of a deployment shows."""
    ports = SimplePorts(settings)
    async with AsyncExitStack() as opened:
        for port in (ports.index, ports.embedder):
            opened.push_async_callback(port.close)
            await port.open()
        return await shown(ports.index, tenants, ports.embedder)


async def shown(index: Index, tenants: Iterable[str], embedder: Embedder) -> Dump:
    """What searches find of each tenant when they ask for everything, and which documents it is said to have."""
    [vector] = await embedder.embed(["which mark"], role="query")
    passages: list[Visible] = []
    heads: dict[tuple[str, str], int] = {}
    for tenant in map(Tenant, tenants):
        everything = Search(tenant=tenant, text="which mark", vector=vector, model=embedder.model, limit=MAX_SHOWN)
        found = await index.search(everything)
        assert len(found) < MAX_SHOWN, f"{tenant!r} shows too much for a dump"
        passages += [
            Visible(
                tenant=tenant,
                document=each.document_id,
                version=each.version,
                ordinal=each.ordinal,
                marks=marks_in(each.text),
            )
            for each in found
        ]
        heads |= {(tenant, head.document_id): head.version for head in await index.heads(tenant, limit=MAX_SHOWN)}
    return Dump(passages=tuple(passages), heads=heads)


def uncommitted(settings: Settings) -> Sequence[str]:
    """What has been finished for a while and is still not committed, so that a restart would repeat it. Blocks."""
    until = time.monotonic() + COMMITTED_WITHIN_S
    while (behind := list(_behind(settings))) and time.monotonic() < until:
        time.sleep(0.5)
    return behind


def _behind(settings: Settings) -> Iterator[str]:
    for part in (*settings.ingest_segments.split("|"), *settings.query_segments.split("|")):
        stages = part.split("+")
        topic = settings.topic_prefix + SOURCES[stages[0]].name
        group = f"{settings.topic_prefix}headwater-{'-'.join(stages)}"
        consumer = Consumer({**settings.kafka_config, "group.id": group, "log_level": 2})
        try:
            partitions = [TopicPartition(topic, number) for number in range(SOURCES[stages[0]].partitions)]
            for at in consumer.committed(partitions, timeout=5):
                _, end = consumer.get_watermark_offsets(at, timeout=5)
                if max(at.offset, 0) < end:
                    yield f"{group}: {topic}/{at.partition} committed {at.offset} of {end}"
        finally:
            consumer.close()


def _header(record: Record, name: str) -> str:
    return next(((value or b"").decode() for key, value in record.headers if key == name), "")
