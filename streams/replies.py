"""A reply address of one's own, and the replies that arrive there."""

import asyncio
import random
from collections.abc import Mapping, Sequence

from schemas import (
    AnswerDelta,
    QueryId,
    Reply,
    ReplyTo,
    SchemaError,
    decode,
)
from streams.runtime.headers import Incoming
from streams.runtime.records import Record
from streams.tail import Tail
from streams.topics import ANSWERS


class Replies:
    """Deals the replies in one partition of the answers topic out to the questions that wait for them."""

    def __init__(self, config: Mapping[str, str], prefix: str) -> None:
        self._topic = prefix + ANSWERS.name
        self._tail = Tail(config, self._topic, pick=lambda partitions: [random.choice(partitions)])  # noqa: S311
        self._waiting: dict[str, Conversation] = {}

    async def address(self) -> ReplyTo:
        """Where to send replies; everything that arrives there from now on is read."""
        partitions = await self._tail.open()
        self._tail.follow(self._deliver)
        return ReplyTo(topic=self._topic, partition=partitions[0])

    def expect(self, query_id: QueryId) -> "Conversation":
        """Call before the question is sent; its replies come out of the conversation."""
        if query_id in self._waiting:
            raise ValueError(f"query id {query_id!r} is in use; every question needs its own")
        self._waiting[query_id] = Conversation()
        return self._waiting[query_id]

    def forget(self, query_id: QueryId) -> None:
        """Drop whatever else arrives for this question."""
        self._waiting.pop(query_id, None)

    async def close(self) -> None:
        await self._tail.close()

    def _deliver(self, batch: Sequence[Record]) -> None:
        for record in batch:
            conversation = self._waiting.get((record.key or b"").decode(errors="replace"))
            if conversation is None:
                continue  # another caller shares the partition, or the question is over
            try:
                conversation.hear(decode(record.value, Incoming.of(record.headers).ce_type, ANSWERS.events))
            except SchemaError as error:
                conversation.hear(error)


class Conversation:
    """The replies to one question, in order and each once; deltas of a superseded attempt are left out."""

    def __init__(self) -> None:
        self._heard: asyncio.Queue[Reply | SchemaError] = asyncio.Queue()
        self._attempt = ""
        self._next = 0
        self._superseded: set[str] = set()

    def hear(self, reply: Reply | SchemaError) -> None:
        if not isinstance(reply, AnswerDelta) or self._is_news(reply):
            self._heard.put_nowait(reply)

    async def reply(self) -> Reply:
        """The next one. Raises SchemaError where a worker wrote what is no reply."""
        reply = await self._heard.get()
        if isinstance(reply, SchemaError):
            raise reply
        return reply

    def _is_news(self, delta: AnswerDelta) -> bool:
        if delta.attempt in self._superseded:
            return False
        if delta.attempt != self._attempt:
            self._superseded.add(self._attempt)
            self._attempt, self._next = delta.attempt, 0
        if delta.index < self._next:
            return False
        self._next = delta.index + 1
        return True
