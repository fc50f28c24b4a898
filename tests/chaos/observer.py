"""The observer: notes what the pipelines say in the ledger, and reads what the index shows."""

from collections.abc import Iterable, Sequence
from contextlib import AsyncExitStack
from typing import Literal

from processors.ports import Search
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
from streams.composition import Backends
from streams.runtime.headers import Incoming
from streams.runtime.records import Record
from streams.settings import Settings
from streams.tail import Tail
from streams.topics import ANSWERS, RECEIPTS, TOPICS
from tests.chaos.checker import Dump, Visible
from tests.chaos.ledger import Answered, Buried, Ledger, Received
from tests.chaos.workload import marks_in
from tests.processors.hashed_words import HashedWords

MAX_SHOWN = 4_000
"""Passages of a tenant that a dump can hold: more than any run makes, and it is checked."""
OUTCOMES: dict[type[Receipt], Literal["indexed", "unchanged", "erased", "rejected"]] = {
    DocumentIndexed: "indexed",
    DocumentUnchanged: "unchanged",
    DocumentErased: "erased",
    DocumentRejected: "rejected",
}


class Observer:
    """Follows receipts, answers and dead letters from the moment it is opened. Open it before anything is sent."""

    def __init__(self, settings: Settings, ledger: Ledger) -> None:
        self._settings = settings
        self._ledger = ledger
        self._resources = AsyncExitStack()

    async def open(self) -> None:
        prefix = self._settings.topic_prefix
        followed = {prefix + RECEIPTS.name: self._receipts, prefix + ANSWERS.name: self._answers}
        followed |= {prefix + each.dead_letter_name: self._letters for each in TOPICS if each.dead_letters}
        for topic, deliver in followed.items():
            tail = Tail(self._settings.kafka_config, topic)
            self._resources.push_async_callback(tail.close)
            await tail.open()
            tail.follow(deliver)

    async def close(self) -> None:
        await self._resources.aclose()

    def _receipts(self, records: Sequence[Record]) -> None:
        for record in records:
            headers = Incoming.of(record.headers)
            receipt = decode(record.value, headers.ce_type, RECEIPTS.events)
            self._ledger.note(
                Received(
                    tenant=receipt.tenant,
                    document=receipt.document_id,
                    version=receipt.version,
                    published_at=receipt.published_at.isoformat(),
                    outcome=OUTCOMES[type(receipt)],
                    code=receipt.code if isinstance(receipt, DocumentRejected) else "",
                    event_id=_header(record, "ce_id"),
                )
            )

    def _answers(self, records: Sequence[Record]) -> None:
        for record in records:
            reply = decode(record.value, Incoming.of(record.headers).ce_type, ANSWERS.events)
            outcome: Literal["completed", "refused", "failed"]
            match reply:
                case AnswerCompleted():
                    outcome, code = "completed", ""
                case AnswerRefused():
                    outcome, code = "refused", reply.code
                case QueryFailed():
                    outcome, code = "failed", reply.code
                case _:
                    continue
            event_id = _header(record, "ce_id")
            self._ledger.note(Answered(query=reply.query_id, outcome=outcome, code=code, event_id=event_id))

    def _letters(self, records: Sequence[Record]) -> None:
        for record in records:
            topic = record.topic.removeprefix(self._settings.topic_prefix)
            key = (record.key or b"").decode(errors="replace")
            self._ledger.note(Buried(topic=topic, key=key, code=_header(record, "dlq-code")))


async def dump(settings: Settings, tenants: Iterable[str]) -> Dump:
    """What searches find of each tenant when they ask for everything, and which documents it is said to have."""
    embedder, index = HashedWords(), Backends(settings).index
    await index.open()
    try:
        [vector] = await embedder.embed(["which mark"], role="query")
        shown: list[Visible] = []
        heads: dict[tuple[str, str], int] = {}
        for tenant in map(Tenant, tenants):
            everything = Search(tenant=tenant, text="which mark", vector=vector, model=embedder.model, limit=MAX_SHOWN)
            found = await index.search(everything)
            assert len(found) < MAX_SHOWN, f"{tenant!r} shows too much for a dump"
            shown += [
                Visible(
                    tenant=tenant,
                    document=passage.document_id,
                    version=passage.version,
                    ordinal=passage.ordinal,
                    marks=marks_in(passage.text),
                )
                for passage in found
            ]
            heads |= {(tenant, head.document_id): head.version for head in await index.heads(tenant, limit=MAX_SHOWN)}
        return Dump(passages=tuple(shown), heads=heads)
    finally:
        await index.close()


def _header(record: Record, name: str) -> str:
    return next(((value or b"").decode() for key, value in record.headers if key == name), "")
