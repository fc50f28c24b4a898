"""A pipeline's outside: reads documents and questions, and answers as their ids and texts ask for."""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from confluent_kafka import Consumer, Producer

from schemas import (
    AnswerCompleted,
    AnswerDelta,
    AnswerRefused,
    DocumentDeleted,
    DocumentErased,
    DocumentId,
    DocumentIndexed,
    DocumentPublished,
    DocumentRejected,
    DocumentUnchanged,
    Event,
    Passage,
    QueryAsked,
    QueryCancelled,
    QueryFailed,
    Receipt,
    Reply,
    decode,
    encode,
)
from streams.settings import Settings
from streams.topics import CANCELLATIONS, DOCUMENTS, QUERIES, RECEIPTS


class Responder:
    """What it has seen, and what it says to it; on the wire it uses nothing but confluent-kafka."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._stop = threading.Event()
        self.cancelled: list[str] = []
        self.headers: dict[str, Mapping[str, bytes]] = {}
        """By record key."""

    def run(self) -> None:
        prefix = self._settings.topic_prefix
        group = {"group.id": f"{prefix}responder", "auto.offset.reset": "earliest"}
        consumer = Consumer({**self._settings.kafka_config, **group})
        self._producer = Producer({**self._settings.kafka_config, "linger.ms": 0})
        consumer.subscribe([prefix + topic.name for topic in (DOCUMENTS, QUERIES, CANCELLATIONS)])
        while not self._stop.is_set():
            message = consumer.poll(0.05)
            self._producer.poll(0)
            if message is None or message.error():
                continue
            headers: Any = dict(message.headers() or ())
            self.headers[(message.key() or b"").decode()] = headers
            known = (DocumentPublished, DocumentDeleted, QueryAsked, QueryCancelled)
            self._handle(decode(message.value(), headers["ce_type"].decode(), known))
        self._producer.flush(10)
        consumer.close()

    def stop(self) -> None:
        self._stop.set()

    def _handle(self, event: Event) -> None:
        match event:
            case DocumentPublished() | DocumentDeleted():
                for receipt in receipts(event):
                    self._say(receipt, self._settings.topic_prefix + RECEIPTS.name)
            case QueryAsked():
                for reply in replies(event):
                    self._say(reply, event.reply_to.topic, event.reply_to.partition)
            case QueryCancelled():
                self.cancelled.append(event.query_id)

    def _say(self, event: Event, topic: str, partition: int = -1) -> None:
        self._producer.produce(
            topic, encode(event), key=event.key, partition=partition, headers={"ce_type": event.ce_type}
        )


def receipts(event: DocumentPublished | DocumentDeleted) -> Iterator[Receipt]:
    """By document id: `bad...` is rejected, `same...` unchanged, `silent...` never answered, others are indexed,
    `again...` in place of version 7.

    To a deletion: `absent...` was not there.
    """
    about: dict[str, Any] = {
        "tenant": event.tenant,
        "document_id": event.document_id,
        "version": event.version,
        "published_at": event.published_at,
    }
    name = event.document_id.rpartition("/")[2]
    if name.startswith("silent"):
        return
    if isinstance(event, DocumentDeleted):
        yield DocumentErased(**about, removed={"chunks": 0 if name.startswith("absent") else 2})
    elif name.startswith("bad"):
        yield DocumentRejected(**about, stage="chunk", code="unreadable", detail="not a document: send another")
    elif name.startswith("same"):
        yield DocumentUnchanged(**about)
    else:
        yield DocumentIndexed(
            **about, chunks=3, embedded=2, model="m", replaces=7 if name.startswith("again") else None
        )


def replies(query: QueryAsked) -> Iterator[Reply]:
    """By the question's first word: refuse, fail, versions, silence, stutter, takeover; others are echoed."""
    about: dict[str, Any] = {"query_id": query.query_id}
    command, words = query.text.split()[0], query.text.split()

    def done(attempt: str) -> Reply:
        return AnswerCompleted(
            **about,
            attempt=attempt,
            text=" ".join(words),
            citations=(),
            confidence=1.0,
            mode="extractive",
            model="echo",
        )

    def delta(attempt: str, index: int) -> Reply:
        text = words[index] if index == 0 else f" {words[index]}"
        return AnswerDelta(**about, attempt=attempt, index=index, text=text)

    match command:
        case "silence":
            return
        case "refuse":
            yield AnswerRefused(**about, attempt="a", code="weak-evidence", detail="too weak", considered=(PASSAGE,))
        case "fail":
            yield QueryFailed(**about, stage="retrieve", code="deadline", detail="past its deadline")
        case "versions":
            said = f"waits {query.wait_for_s:g} s for {dict(query.min_versions)}"
            yield QueryFailed(**about, stage="retrieve", code="not-visible", detail=said)
        case "stutter":
            yield from (delta("a", 0), delta("a", 0), delta("a", 1), delta("a", 0), delta("a", 1), done("a"), done("a"))
        case "takeover":
            yield from (delta("a", 0), delta("b", 0), delta("a", 1), delta("b", 1), done("b"))
        case _:
            if query.stream:
                yield from (delta("a", index) for index in range(len(words)))
            yield done("a")


PASSAGE = Passage(
    document_id=DocumentId("d"),
    version=1,
    ordinal=0,
    title="Leave",
    text="Nothing about\x1b[2J it",
    page=None,
    section=(),
    start=0,
    end=10,
    metadata={},
    scores={"dense": 0.1, "rerank": 0.05},
)


@contextmanager
def responding(settings: Settings) -> Iterator[Responder]:
    """A responder at work until the block ends."""
    responder = Responder(settings)
    thread = threading.Thread(target=responder.run, name="responder")
    thread.start()
    try:
        yield responder
    finally:
        responder.stop()
        thread.join()
