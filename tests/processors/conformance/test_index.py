"""Each promise of the Index port is checked: an index that breaks it is caught by the check of that name."""

import uuid
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import pytest

from processors.backends.milvus.index import MilvusIndex
from processors.conformance import examine, title
from processors.conformance.index import CHECKS, Connected
from processors.errors import Transient
from processors.ports import Head, Search, Stored, Vectors
from schemas import Chunk, ChunksEmbedded, Document, DocumentId, Passage, Tenant
from streams.settings import Settings

pytestmark = pytest.mark.stack


class Nosy(MilvusIndex):
    async def search(self, search: Search) -> Sequence[Passage]:
        return await super().search(replace(search, principals=("ann",)))


class Unfiltered(MilvusIndex):
    async def search(self, search: Search) -> Sequence[Passage]:
        return await super().search(replace(search, filters={}))


class WorstFirst(MilvusIndex):
    async def search(self, search: Search) -> Sequence[Passage]:
        return (await super().search(search))[::-1]


class Greedy(MilvusIndex):
    async def search(self, search: Search) -> Sequence[Passage]:
        return await super().search(replace(search, limit=search.limit + 1))


class Misplaced(MilvusIndex):
    async def search(self, search: Search) -> Sequence[Passage]:
        return [replace(passage, page=None) for passage in await super().search(search)]


class Scaled(MilvusIndex):
    async def search(self, search: Search) -> Sequence[Passage]:
        found = await super().search(search)
        return [replace(each, scores={**each.scores, "dense": 2 * each.scores["dense"]}) for each in found]


class Mixing(MilvusIndex):
    """One collection for all tenants, as if the tenant were no part of the filter."""

    async def write(self, event: ChunksEmbedded) -> None:
        await super().write(replace(event, document=replace(event.document, tenant=Tenant("all"))))

    async def flip(self, head: Head) -> None:
        await super().flip(replace(head, tenant=Tenant("all")))

    async def search(self, search: Search) -> Sequence[Passage]:
        return await super().search(replace(search, tenant=Tenant("all")))


class Eager(MilvusIndex):
    """Makes live what is written."""

    async def write(self, event: ChunksEmbedded) -> None:
        await super().write(event)
        about = event.document
        newest = await self.head(about.tenant, about.document_id)
        await super().flip(_head(event, newest))


class ByArrival(MilvusIndex):
    """Takes what comes last for the newest."""

    arrivals = 0

    async def write(self, event: ChunksEmbedded) -> None:
        self.arrivals += 1
        await super().write(replace(event, document=replace(event.document, version=self.arrivals)))

    async def flip(self, head: Head) -> None:
        await super().flip(replace(head, version=self.arrivals, rows_version=self.arrivals))


class Doubling(MilvusIndex):
    """Keeps a redelivered slice twice."""

    async def write(self, event: ChunksEmbedded) -> None:
        stored = await self.count(event.document)
        chunks = tuple(replace(chunk, ordinal=chunk.ordinal + stored.chunks) for chunk in event.chunks)
        await super().write(replace(event, chunks=chunks))

    async def count(self, document: Document) -> Stored:
        return await super().count(replace(document, chunk_count=1000))


class Careless(MilvusIndex):
    """Makes any rows live."""

    async def flip(self, head: Head) -> None:
        try:
            await super().flip(head)
        except Transient:
            await super().flip(replace(head, rows_version=head.version))


class Undead(MilvusIndex):
    async def heads(self, tenant: Tenant, *, limit: int = 1000) -> Sequence[Head]:
        return (await super().heads(tenant))[::-1][:limit]


class Rounding(MilvusIndex):
    async def head(self, tenant: Tenant, document_id: DocumentId) -> Head | None:
        head = await super().head(tenant, document_id)
        return head and replace(head, flipped_at=head.flipped_at.replace(microsecond=0))


class Hoarding(MilvusIndex):
    async def sweep(self) -> int:
        return 0


class Anything(MilvusIndex):
    """Takes vectors of any model under the first one's name."""

    async def write(self, event: ChunksEmbedded) -> None:
        await super().write(replace(event, model="hashed-words"))


class Forgetful(MilvusIndex):
    async def model(self) -> str | None:
        return None


class Reusing(MilvusIndex):
    async def vectors(
        self, tenant: Tenant, document_id: DocumentId, text_hashes: Sequence[str], *, model: str
    ) -> Mapping[str, Vectors]:
        return {text_hash: np.ones(64, dtype=np.float32) for text_hash in text_hashes}


class Behind(MilvusIndex):
    """Knows of no version that another connection made visible."""

    async def newest(self, tenant: Tenant, versions: Mapping[DocumentId, int]) -> Mapping[DocumentId, Head]:
        return {}


class Deaf(MilvusIndex):
    async def search(self, search: Search) -> Sequence[Passage]:
        return await super().search(replace(search, heads=()))


class Insisting(MilvusIndex):
    """Shows what a given head names, and nothing that came after it."""

    async def search(self, search: Search) -> Sequence[Passage]:
        given = {head.document_id: head.rows_version for head in search.heads}
        found = await super().search(search)
        return [each for each in found if given.get(each.document_id, each.version) == each.version]


class Ruthless(MilvusIndex):
    """Erases rows whoever names them."""

    async def erase(self, tenant: Tenant, document_id: DocumentId, *, up_to_version: int) -> Mapping[str, int]:
        try:
            return await super().erase(tenant, document_id, up_to_version=up_to_version)
        except Transient:
            return {"all": await self._store.delete(self._store.chunks, f"version <= {up_to_version}")}


class Timid(MilvusIndex):
    """Erases only what a head has named."""

    async def erase(self, tenant: Tenant, document_id: DocumentId, *, up_to_version: int) -> Mapping[str, int]:
        return await super().erase(tenant, document_id, up_to_version=1)


class Listing(MilvusIndex):
    """Chunks of all versions."""

    async def chunks(self, tenant: Tenant, document_id: DocumentId) -> Sequence[Chunk]:
        return [*await super().chunks(tenant, document_id)] * 2


def _head(event: ChunksEmbedded, newest: Head | None) -> Head:
    from tests.processors.happenings import head

    return replace(head(event), version=max(event.document.version, newest.version if newest else 0))


@pytest.fixture
async def connected(request: pytest.FixtureRequest, stack: Settings) -> AsyncIterator[Connected]:
    """An index of the class that the test names, at a collection of the test's own."""
    kind, url = request.param, f"{stack.index_url.rpartition('/')[0]}/test_{uuid.uuid4().hex}"
    index = kind(url)
    await index.open()
    yield Connected(index, lambda: kind(url))
    await index.close()


@pytest.mark.parametrize(
    ("connected", "check"),
    [
        (Nosy, "a document with readers is found only by one of them"),
        (Unfiltered, "filters select by metadata"),
        (WorstFirst, "passages come best first and at most as many as asked for"),
        (Greedy, "passages come best first and at most as many as asked for"),
        (Misplaced, "a passage says where it stands and how it scored"),
        (Scaled, "a passage says where it stands and how it scored"),
        (Mixing, "a tenant never sees anothers documents"),
        (Eager, "chunks are invisible until the head names their version"),
        (ByArrival, "a late writer of an older version changes nothing"),
        (Doubling, "writing a slice twice stores it once"),
        (Careless, "rows that a newer head replaced cannot be made live again"),
        (Undead, "heads lists a tenants live documents by id"),
        (Rounding, "a head comes back as it was given"),
        (Hoarding, "sweep deletes what no reader can see"),
        (Hoarding, "sweep finds what a worker before it left"),
        (Anything, "another model is refused by name"),
        (Forgetful, "the model of what is stored is known to every connection"),
        (Reusing, "vectors are those of the live version and the same model"),
        (Listing, "a new version replaces the old one"),
        (Behind, "newest tells what any connection has flipped"),
        (Deaf, "a search that is given heads shows what they name"),
        (Insisting, "a search that is given a head may show a newer one"),
        (Ruthless, "an erasure never removes what is live"),
        (Timid, "an erasure removes what was under way and keeps what came after"),
    ],
    indirect=["connected"],
)
async def test_an_index_that_breaks_a_promise_is_caught(connected: Connected, check: str) -> None:
    [named] = [each for each in CHECKS if title(each) == check]
    [outcome] = [each async for each in examine([named], connected)]
    assert outcome.verdict == "failed"
    assert "so " in outcome.reason


async def test_the_checks_leave_no_chunk_behind(another: Callable[[], MilvusIndex]) -> None:
    index = another()
    await index.open()
    async for outcome in examine(CHECKS, Connected(index, another)):
        assert outcome.verdict == "passed", outcome.reason
    assert ": 0 rows" in await index.check()
    await index.close()
