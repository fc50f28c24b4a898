"""A tenant of a check's own on an index, gone without a trace of its texts when the check ends."""

import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import wraps
from typing import Unpack

from processors.conformance import Check
from processors.conformance.documents import NOON, About, embedded, find, head, slices
from processors.ports import Head, Index
from schemas import ChunksExtracted, DocumentId, Passage, Scalar, Tenant

HANDBOOK = DocumentId("handbook")


@dataclass(frozen=True, slots=True)
class Connected:
    """An open index, and a way to further connections to the same collection, as further workers have them."""

    index: Index
    another: Callable[[], Index]
    """Not opened."""


@dataclass(slots=True)
class Shelf:
    """What a check does with documents of its own tenant."""

    index: Index
    another: Callable[[], Index]
    tenant: Tenant
    written: dict[tuple[Tenant, DocumentId], int] = field(default_factory=dict)
    """The newest version of each document that the check wrote."""

    @property
    def neighbour(self) -> Tenant:
        """Another tenant, which is the check's own too."""
        return Tenant(f"{self.tenant}-b")

    @asynccontextmanager
    async def second(self) -> AsyncIterator["Shelf"]:
        """The same tenant through another connection."""
        index = self.another()
        await index.open()
        try:
            yield replace(self, index=index)
        finally:
            await index.close()

    def slices(self, texts: Sequence[str], **about: Unpack[About]) -> list[ChunksExtracted]:
        """A document's chunks as the chunk stage cuts them; see `documents.slices`."""
        about.setdefault("tenant", self.tenant)
        events = slices(texts, **about)
        document = events[0].document
        key = document.tenant, document.document_id
        self.written[key] = max(document.version, self.written.get(key, 0))
        return events

    async def write(self, event: ChunksExtracted) -> None:
        await self.index.write(await embedded(event))

    async def publish(self, texts: Sequence[str], *, flipped_at: datetime = NOON, **about: Unpack[About]) -> Head:
        """Write a document and make it live."""
        for event in self.slices(texts, **about):
            await self.write(event)
        live = head(event, flipped_at=flipped_at)
        await self.index.flip(live)
        return live

    async def find(
        self,
        text: str,
        *,
        tenant: Tenant | None = None,
        limit: int = 10,
        principals: tuple[str, ...] = (),
        filters: Mapping[str, Scalar | tuple[Scalar, ...]] | None = None,
        heads: tuple[Head, ...] = (),
    ) -> Sequence[Passage]:
        owner = tenant or self.tenant
        return await find(
            self.index, text, tenant=owner, limit=limit, principals=principals, filters=filters, heads=heads
        )

    async def texts(self, text: str, *, tenant: Tenant | None = None) -> list[str]:
        """The passages' texts that a search shows."""
        return [passage.text for passage in await self.find(text, tenant=tenant)]

    async def clear(self) -> None:
        """Delete every document that the check wrote."""
        for (tenant, document_id), version in self.written.items():
            live = await self.index.head(tenant, document_id)
            if live is not None and live.rows_version is not None:
                gone = max(version, live.version) + 1
                await self.index.flip(replace(live, version=gone, rows_version=None, flipped_at=NOON))
            await self.index.erase(tenant, document_id, up_to_version=version)


def on_a_shelf(check: Callable[[Shelf], Awaitable[None]]) -> Check[Connected]:
    """A check that runs on a tenant of its own, and cleans up."""

    @wraps(check)
    async def checked(connected: Connected) -> None:
        tenant = Tenant(f"contract-{uuid.uuid4().hex[:12]}")
        shelf = Shelf(connected.index, connected.another, tenant)
        try:
            await check(shelf)
        finally:
            await shelf.clear()

    return checked
