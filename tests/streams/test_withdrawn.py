"""A question that nobody waits for any more stops the language model, through the whole pipeline."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from opentelemetry.trace import NoOpTracer

from schemas import AnswerMode, Passage, PassagesRanked, QueryAsked, QueryCancelled, QueryFailed, QueryId
from streams import provisioning
from streams.replies import Conversation, Replies
from streams.sender import Sender
from streams.settings import Settings
from streams.topics import CANCELLATIONS, EVIDENCE
from streams.worker import Worker
from tests.processors.happenings import asked
from tests.processors.models import evidence, passage
from tests.servers.llama import Llama

pytestmark = pytest.mark.stack
PATIENCE_S = 60.0
MUCH = tuple(passage(f"The tower number {place} is tall. " * 55, ordinal=place, rerank=0.9) for place in range(8))
"""Over 3,000 tokens, which the server reads for seconds before its first word."""


class Asker:
    """Sends evidence to the stage that answers from it, and reads what comes back."""

    def __init__(self, sender: Sender, replies: Replies) -> None:
        self._sender = sender
        self._replies = replies

    async def ask(
        self, deadline_s: float, passages: Sequence[Passage] = MUCH, mode: AnswerMode = "generative"
    ) -> tuple[QueryAsked, Conversation]:
        now = datetime.now(UTC)
        query = replace(
            asked("How tall are the towers?", mode=mode),
            query_id=QueryId(uuid4().hex),
            reply_to=await self._replies.address(),
            asked_at=now,
            deadline=now + timedelta(seconds=deadline_s),
        )
        conversation = self._replies.expect(query.query_id)
        await self._sender.send(EVIDENCE, PassagesRanked(query=query, passages=tuple(passages)))
        return query, conversation

    async def withdraw(self, query: QueryAsked) -> None:
        await self._sender.send(CANCELLATIONS, QueryCancelled(query_id=query.query_id))


@asynccontextmanager
async def answering(settings: Settings) -> AsyncIterator[None]:
    """A worker that hosts the generating stage."""
    stop = asyncio.Event()
    running = asyncio.create_task(Worker(settings, ("generate",), tracer=NoOpTracer()).run(stop))
    try:
        yield
    finally:
        stop.set()
        await running


@pytest.fixture
async def asker(stack: Settings) -> AsyncIterator[Asker]:
    settings = stack.model_copy(
        update={
            "topic_prefix": f"withdrawn-{uuid4().hex[:8]}-",
            "generator": f"{stack.generator_url}&max_tokens=3000&evidence_bytes=12000",
        }
    )
    provisioning.apply(settings)
    async with AsyncExitStack() as resources:
        sender, replies = Sender(settings), Replies(settings.kafka_config, settings.topic_prefix)
        await sender.open(NoOpTracer())
        resources.push_async_callback(sender.close)
        resources.push_async_callback(replies.close)
        await resources.enter_async_context(answering(settings))
        asker = Asker(sender, replies)
        _, conversation = await asker.ask(PATIENCE_S, evidence({"rerank": 0.9}), "extractive")
        async with asyncio.timeout(PATIENCE_S):
            await conversation.reply()  # the worker is at work from here on
        yield asker


@pytest.fixture
def llm(stack: Settings) -> Llama:
    return Llama.of(stack)


async def failed(conversation: Conversation) -> QueryFailed:
    async with asyncio.timeout(PATIENCE_S):
        reply = await conversation.reply()
    assert isinstance(reply, QueryFailed)
    return reply


async def test_a_withdrawn_question_frees_the_server_s_slot(llm: Llama, asker: Asker) -> None:
    await llm.until_busy(0)
    query, conversation = await asker.ask(deadline_s=PATIENCE_S)
    await llm.until_busy(1)
    async with llm.freed_within_1_s():
        await asker.withdraw(query)
        assert (await failed(conversation)).code == "cancelled"


async def test_a_question_past_its_deadline_frees_the_server_s_slot(llm: Llama, asker: Asker) -> None:
    await llm.until_busy(0)
    _, conversation = await asker.ask(deadline_s=3)
    await llm.until_busy(1)
    assert (await failed(conversation)).code == "deadline-exceeded"
    async with llm.freed_within_1_s():
        pass
