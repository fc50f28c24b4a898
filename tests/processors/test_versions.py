"""Versions in any order, twice, deleted before they are created, by two writers at once: the highest one is seen.

After each call to the index a reader looks. It sees all of the highest version that was made visible so far, and
nothing else: never two versions, and never none while one is live.
"""

import asyncio
import random
import time
import uuid
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from processors.backends.milvus.expressions import document_key, quoted
from processors.backends.milvus.index import MilvusIndex
from processors.backends.milvus.sweep import swept
from processors.conformance.documents import find
from processors.embed import Embed
from processors.errors import Transient
from processors.ports import Head
from processors.upsert import Upsert
from schemas import ChunksExtracted, DocumentDeleted, DocumentId, Tenant
from tests.processors.happenings import deleted, slices
from tests.processors.hashed_words import HashedWords

pytestmark = pytest.mark.stack
T = TypeVar("T")

HANDBOOK = DocumentId("handbook")
NOTHING: tuple[str, ...] = ()
"""As a version's texts: it deletes the document."""
CONTENTS = (NOTHING, ("a red pump",), ("a red pump", "a blue pump"), ("a green pump", "a red pump", "a black pump"))


@dataclass(frozen=True)
class History:
    """What was published, in the order in which it lies in the partition, and who works on it when."""

    versions: Mapping[int, Sequence[str]]
    order: Sequence[int]
    """Each version at least once."""
    turns: Sequence[int]
    """Whose call is next. Writer 0 goes on to the end; 1 lost the partition, and stops where its turns end."""


def history_of(seed: int) -> History:
    """Two to four versions, some of them twice, and turns in bursts as long as a version takes."""
    chance = random.Random(seed)
    versions = dict(enumerate(chance.choices(CONTENTS, k=chance.randint(2, 4)), 1))
    order = [*versions, *chance.choices(list(versions), k=chance.randint(0, 2))]
    chance.shuffle(order)
    bursts = [(writer, chance.randint(1, 5 + 7 * (1 - writer))) for _ in range(4) for writer in (1, 0)]
    return History(versions, order, [writer for writer, calls in (*bursts, (1, 9)) for _ in range(calls)])


@dataclass
class Shelf:
    """One document, its two writers, and what a reader of it must see."""

    index: MilvusIndex
    history: History
    tenant: Tenant = field(default_factory=lambda: Tenant(uuid.uuid4().hex))
    flipped: set[int] = field(default_factory=set)
    """Versions that were made visible."""

    def __post_init__(self) -> None:
        self._turns = deque(self.history.turns)
        self._moved = asyncio.Condition()
        self._events = {number: self._published(number) for number in self.history.versions}

    async def write(self, writer: int, connection: MilvusIndex) -> None:
        """Take all events through the stages, as a worker with this connection does."""
        index: Any = Gated(connection, partial(self.turn, writer), self.flipped.add)
        embed, upsert = Embed(HashedWords(), index), Upsert(index)
        for number in self.history.order:
            for event in self._events[number]:
                for vectors in await again(partial(embed, event)):
                    await again(partial(upsert, vectors))
        async with self._moved:
            self._turns = deque(turn for turn in self._turns if turn != writer)
            self._moved.notify_all()
            await self._moved.wait_for(lambda: not self._turns)

    async def turn(self, writer: int, call: Callable[[], Awaitable[T]]) -> T:
        """What the call gives, made when it is the writer's turn, with a look at what a reader sees then."""
        async with self._moved:
            await self._moved.wait_for(lambda: (self._turns[0] if self._turns else 0) == writer)
            try:
                return await call()
            finally:
                if self._turns:
                    self._turns.popleft()
                self._moved.notify_all()
                await self.look()

    async def look(self) -> None:
        wanted = sorted(self.history.versions[max(self.flipped)]) if self.flipped else []
        found = await find(self.index, "pump", tenant=self.tenant)
        assert sorted(passage.text for passage in found) == wanted
        assert len({passage.version for passage in found}) <= 1

    def _published(self, number: int) -> Sequence[ChunksExtracted | DocumentDeleted]:
        texts = self.history.versions[number]
        if texts == NOTHING:
            return [deleted(version=number, tenant=self.tenant)]
        return slices(texts, version=number, tenant=self.tenant, per_slice=1)


class Gated:
    """An index whose calls are made when it is their turn."""

    def __init__(self, index: MilvusIndex, turn: Callable[..., Awaitable[Any]], note: Callable[[int], None]) -> None:
        self._index, self._turn, self._note = index, turn, note

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        return lambda *arguments, **options: self._turn(partial(getattr(self._index, name), *arguments, **options))

    async def flip(self, head: Head) -> None:
        async def flip() -> None:
            await self._index.flip(head)
            self._note(head.version)

        await self._turn(flip)


async def again(attempt: Callable[[], Awaitable[T]]) -> T:
    """As the runtime does where another writer was faster."""
    while True:
        with suppress(Transient):
            return await attempt()


async def until_done(working: Awaitable[None], stalling: Awaitable[None]) -> None:
    """Both at once until the first is done, where the second stays as it is. Raises what either raises."""
    tasks = [asyncio.ensure_future(working), asyncio.ensure_future(stalling)]
    try:
        pending = set(tasks)
        while tasks[0] in pending:
            done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(seed=st.integers(0, 2**32 - 1))
@example(seed=3_528_889_885)  # a deletion removes the rows of a version that a stalled writer is about to count
async def test_readers_see_the_highest_version_whatever_happens(
    index: MilvusIndex, another: Callable[[], MilvusIndex], seed: int
) -> None:
    history = history_of(seed)
    second = another()
    await second.open()
    shelf = Shelf(index, history)
    await until_done(shelf.write(0, index), shelf.write(1, second))
    await shelf.look()
    assert max(shelf.flipped) == max(history.versions)
    document = document_key(shelf.tenant, HANDBOOK)
    await swept(index._store, [document], time.time() + 1)
    await shelf.look()
    left = await index._store.query(
        index._store.chunks, f"document == {quoted(document)}", ("version",), snapshot_s=None
    )
    assert len(left) == len(history.versions[max(history.versions)])
    await second.close()
