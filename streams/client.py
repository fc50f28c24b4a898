"""Publish documents, wait for their receipts, ask questions: a small client over Kafka alone.

async with Client(Settings()) as client:
    event = await client.publish("handbook", Path("handbook.pdf"))
    print(await client.receipt(event))
    async for reply in client.ask("How many days of leave do I have?"):
        ...
"""

import asyncio
import dataclasses
import time
import uuid
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import ExitStack, aclosing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Literal, Self, TypedDict, Unpack

from opentelemetry.trace import Span, SpanKind, StatusCode, Tracer

from processors.errors import Poison
from schemas import (
    AnswerCompleted,
    AnswerDelta,
    AnswerMode,
    AnswerRefused,
    Claim,
    DocumentDeleted,
    DocumentId,
    DocumentPublished,
    FinalReply,
    Profile,
    QueryAsked,
    QueryCancelled,
    QueryFailed,
    QueryId,
    Receipt,
    Reply,
    ReplyTo,
    Scalar,
    Tenant,
)
from streams.contents import Contents
from streams.media_types import media_type_of
from streams.receipts import Receipts
from streams.replies import Replies
from streams.runtime.traces import OUTCOME, inside
from streams.sender import Sender, attributes
from streams.settings import Settings
from streams.topics import CANCELLATIONS, DOCUMENTS, QUERIES
from streams.tracing import tracing

Lane = Literal["interactive", "bulk"]
"""bulk: part of an import, which nobody waits for document by document."""

DEADLINE_S = 60.0
WAIT_FOR_S = 5.0
GRACE_S = 5.0
"""How long past its deadline the pipeline may take to say that a question is past its deadline."""


class NoReply(TimeoutError):
    """Nothing came back in time, not even a failure."""


class Asking(TypedDict, total=False):
    """What can be said about a question beside its text."""

    tenant: str
    """Default: that of the settings."""
    mode: AnswerMode | None
    """None: what the deployment is set to."""
    top_k: int
    """Passages of evidence to answer from; default 5."""
    filters: Mapping[str, Scalar | tuple[Scalar, ...]] | None
    """Metadata that a document must have."""
    principals: Sequence[str]
    """The user and groups who ask."""
    min_versions: Mapping[str, int]
    """Documents to the version that the search must see, such as that of what `publish` or `delete` returned."""
    wait_for_s: float
    """How long it waits for them; default 5."""
    deadline_s: float
    """Default 60."""
    query_id: str
    """Default: a random one."""


class Client:
    """One caller: its own producer and its own reply address. Any number of tasks may use it at once.

    Everything raises BrokerUnreachable or TopicMissing where there is no broker or no topic, and SchemaError where
    an argument is not what the wire contract allows. Spans go to `tracer`; none: where the settings say.
    """

    def __init__(self, settings: Settings, tracer: Tracer | None = None) -> None:
        self._settings = settings
        self._given = tracer
        self._sender = Sender(settings)
        self._receipts = Receipts(settings.kafka_config, settings.topic_prefix)
        self._replies = Replies(settings.kafka_config, settings.topic_prefix)
        self._last_version = 0
        self._contents = Contents(settings)

    async def __aenter__(self) -> Self:
        self._exporting = ExitStack()
        self._tracer = self._given or self._exporting.enter_context(tracing(self._settings, "client"))
        await self._sender.open(self._tracer)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._replies.close()
        await self._receipts.close()
        await self._sender.close()
        await asyncio.to_thread(self._exporting.close)

    async def publish(
        self,
        document_id: str,
        content: str | bytes | Path,
        *,
        tenant: str = "",
        version: int | None = None,
        media_type: str = "",
        filename: str = "",
        title: str = "",
        metadata: Mapping[str, Scalar] | None = None,
        readers: Sequence[str] = (),
        profile: Profile | None = None,
        lane: Lane = "interactive",
    ) -> DocumentPublished:
        """Publish a version of a document; returns when the broker has it, with the event as it was sent.

        Text, bytes, or a file to read. Over 512 KB the content goes to the object store of the settings and the
        event carries a claim check. In the lane `bulk` a document lets those of other lanes and tenants go first.
        Raises Poison `record-too-large` where even that does not fit.
        """
        if isinstance(content, Path):
            filename = filename or content.name
        by_name = "text/plain" if isinstance(content, str) else media_type_of(filename)
        event = DocumentPublished(
            tenant=Tenant(tenant or self._settings.tenant),
            document_id=DocumentId(document_id),
            version=version or self._next_version(),
            published_at=datetime.now(UTC),
            source=await self._contents.source(content),
            media_type=media_type or by_name,
            filename=filename,
            title=title,
            metadata=metadata or {},
            readers=tuple(readers),
            profile=profile,
        )
        try:
            await self._announce(event, lane)
        except Poison as error:
            if error.code != "record-too-large" or isinstance(event.source, Claim):
                raise
            event = dataclasses.replace(event, source=await self._contents.claim(event.source))
            await self._announce(event, lane)
        return event

    async def delete(self, document_id: str, *, tenant: str = "", version: int | None = None) -> DocumentDeleted:
        """Ask for a document's erasure; the receipt says when nothing of it is left."""
        event = DocumentDeleted(
            tenant=Tenant(tenant or self._settings.tenant),
            document_id=DocumentId(document_id),
            version=version or self._next_version(),
            published_at=datetime.now(UTC),
        )
        await self._announce(event)
        return event

    async def receipt(self, event: DocumentPublished | DocumentDeleted, *, timeout_s: float | None = 60.0) -> Receipt:
        """What became of an event that this client sent. Raises NoReply."""
        try:
            async with asyncio.timeout(timeout_s):
                return await self._receipts.wait(event)
        except TimeoutError:
            raise NoReply(
                f"no receipt for version {event.version} of {event.document_id!r} within {timeout_s:g} s: "
                "is a worker running? `headwater status` shows it; the event itself is safe in the broker"
            ) from None

    async def ask(self, text: str, *, stream: bool = True, **options: Unpack[Asking]) -> AsyncGenerator[Reply, None]:
        """Deltas in order, then exactly one final reply: AnswerCompleted, AnswerRefused or QueryFailed.

        A delta with a new `attempt` starts the text anew. Leaving before the final reply withdraws the question.
        Raises NoReply where no final reply came a few seconds past the deadline.
        """
        patience_s = max(0.0, options.get("deadline_s", DEADLINE_S)) + GRACE_S
        query = self._question(text, await self._replies.address(), stream, options)
        until = asyncio.get_running_loop().time() + patience_s
        conversation = self._replies.expect(query.query_id)
        span = self._tracer.start_span("ask", kind=SpanKind.CLIENT, attributes=attributes(query))
        asked = over = False
        try:
            await self._sender.send(QUERIES, query, inside(span))
            asked = True
            while not over:
                async with asyncio.timeout_at(until):
                    reply = await conversation.reply()
                over = _noted(reply, span)
                yield reply
        except TimeoutError:
            raise NoReply(
                f"no answer to query {query.query_id!r} within {patience_s:g} s: are workers running? "
                "`headwater status` shows it"
            ) from None
        finally:
            self._replies.forget(query.query_id)
            if asked and not over:
                span.set_attribute(OUTCOME, "withdrawn")
                await self._sender.send(CANCELLATIONS, QueryCancelled(query_id=query.query_id), inside(span))
            span.end()

    async def answer(self, text: str, **options: Unpack[Asking]) -> FinalReply:
        """The final reply alone; the options of `ask`."""
        async with aclosing(self.ask(text, stream=False, **options)) as replies:
            async for reply in replies:
                if not isinstance(reply, AnswerDelta):
                    return reply
        raise AssertionError("the last reply is a final one")

    async def cancel(self, query_id: str) -> None:
        """Withdraw a question; one still under way fails with the code `cancelled`."""
        await self._sender.send(CANCELLATIONS, QueryCancelled(query_id=QueryId(query_id)))

    async def _announce(self, event: DocumentPublished | DocumentDeleted, lane: Lane = "interactive") -> None:
        await self._receipts.expect(event)
        try:
            await self._sender.send(DOCUMENTS, event, bulk=lane == "bulk")
        except BaseException:
            self._receipts.forget(event)
            raise

    def _question(self, text: str, address: ReplyTo, stream: bool, options: Asking) -> QueryAsked:
        now = datetime.now(UTC)
        return QueryAsked(
            query_id=QueryId(options.get("query_id") or uuid.uuid4().hex),
            tenant=Tenant(options.get("tenant") or self._settings.tenant),
            text=text,
            reply_to=address,
            asked_at=now,
            deadline=now + timedelta(seconds=options.get("deadline_s", DEADLINE_S)),
            principals=tuple(options.get("principals", ())),
            mode=options.get("mode"),
            stream=stream,
            top_k=options.get("top_k", 5),
            filters=options.get("filters") or {},
            min_versions={
                DocumentId(document_id): version for document_id, version in options.get("min_versions", {}).items()
            },
            wait_for_s=options.get("wait_for_s", WAIT_FOR_S),
        )

    def _next_version(self) -> int:
        self._last_version = max(self._last_version + 1, time.time_ns() // 1_000_000)
        return self._last_version


def _noted(reply: Reply, span: Span) -> bool:
    """Whether the reply is final, with the outcome on the span."""
    match reply:
        case AnswerDelta():
            if reply.index == 0:
                span.add_event("first words")
            return False
        case AnswerCompleted():
            span.set_attribute(OUTCOME, "done")
        case AnswerRefused():
            span.set_attribute(OUTCOME, "refused")
        case QueryFailed():
            span.set_attribute(OUTCOME, reply.code)
            span.set_status(StatusCode.ERROR, f"{reply.code}: {reply.detail}"[:500])
    return True
