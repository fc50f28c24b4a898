"""Documents to store and to find, with vectors that need no model."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from itertools import count
from typing import TypedDict, Unpack

import numpy as np

from processors.ports import Head, Index, Role, Search, Vectors
from schemas import (
    Chunk,
    ChunksEmbedded,
    ChunksExtracted,
    Document,
    DocumentId,
    Passage,
    Scalar,
    Tenant,
    digest,
    text_hash,
)

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
"""Long enough ago that what was replaced then may be swept."""
_seconds = count()


class HashedWords:
    """An embedder whose model is a hash function: texts that share words have near vectors.

    It counts what it was asked, for tests of what is not embedded again.
    """

    def __init__(self, *, model: str = "hashed-words", dimensions: int = 64) -> None:
        self.model = model
        self.dimensions = dimensions
        self.texts: list[str] = []

    async def open(self) -> None:
        pass

    async def close(self) -> None:
        pass

    async def check(self) -> str:
        return self.model

    async def embed(self, texts: Sequence[str], *, role: Role) -> Vectors:
        self.texts += texts
        rows = np.zeros((len(texts), self.dimensions), dtype=np.float32)
        for row, text in zip(rows, texts, strict=True):
            row[0] = 1e-3  # a text without a word has a direction too
            for word in re.findall(r"\w+", text.lower()):
                row[int.from_bytes(hashlib.blake2b(word.encode(), digest_size=4).digest()) % self.dimensions] += 1
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        return rows


def published_at() -> datetime:
    """Never the same twice, as with a producer's clock."""
    return NOON.replace(microsecond=next(_seconds))


def slices(
    texts: Sequence[str],
    *,
    document_id: str = "handbook",
    version: int = 1,
    tenant: str = "acme",
    metadata: Mapping[str, Scalar] | None = None,
    readers: tuple[str, ...] = (),
    per_slice: int = 64,
) -> list[ChunksExtracted]:
    """A document's chunks as the chunk stage cuts them."""
    chunks = [
        Chunk(
            ordinal=ordinal,
            text=text,
            text_hash=text_hash(text),
            page=ordinal + 1,
            section=("Manual", "Part"),
            start=100 * ordinal,
            end=100 * ordinal + len(text),
        )
        for ordinal, text in enumerate(texts)
    ]
    document = Document(
        tenant=Tenant(tenant),
        document_id=DocumentId(document_id),
        version=version,
        published_at=published_at(),
        media_type="text/plain",
        title=document_id.title(),
        metadata=metadata or {},
        readers=readers,
        digest=digest([*texts, repr(metadata), repr(readers)]),
        chunk_count=len(chunks),
    )
    parts = [tuple(chunks[i : i + per_slice]) for i in range(0, len(chunks), per_slice)]
    return [
        ChunksExtracted(document=document, slice=number, slices=len(parts), chunks=part)
        for number, part in enumerate(parts)
    ]


async def embedded(event: ChunksExtracted, embedder: HashedWords | None = None) -> ChunksEmbedded:
    """The slice with all its vectors computed."""
    embedder = embedder or HashedWords()
    vectors = await embedder.embed([chunk.text for chunk in event.chunks], role="passage")
    return ChunksEmbedded.after(
        event,
        model=embedder.model,
        dimensions=embedder.dimensions,
        vectors=vectors.astype("<f4").tobytes(),
        embedded=len(event.chunks),
    )


def head(event: ChunksExtracted | ChunksEmbedded, *, flipped_at: datetime = NOON) -> Head:
    """The head that makes the event's document live."""
    about = event.document
    return Head(
        tenant=about.tenant,
        document_id=about.document_id,
        version=about.version,
        rows_version=about.version,
        previous_rows_version=None,
        flipped_at=flipped_at,
        published_at=about.published_at,
        digest=about.digest,
        chunk_count=about.chunk_count,
        model=event.model if isinstance(event, ChunksEmbedded) else HashedWords().model,
        title=about.title,
        media_type=about.media_type,
    )


class About(TypedDict, total=False):
    """What `slices` takes besides the texts."""

    document_id: str
    version: int
    tenant: str
    metadata: Mapping[str, Scalar] | None
    readers: tuple[str, ...]
    per_slice: int


async def publish(index: Index, texts: Sequence[str], *, flipped_at: datetime = NOON, **about: Unpack[About]) -> Head:
    """Write a document and make it live."""
    for event in slices(texts, **about):
        await index.write(await embedded(event))
    live = head(event, flipped_at=flipped_at)
    await index.flip(live)
    return live


async def find(
    index: Index,
    text: str,
    *,
    tenant: str = "acme",
    limit: int = 10,
    principals: tuple[str, ...] = (),
    filters: Mapping[str, Scalar | tuple[Scalar, ...]] | None = None,
    heads: tuple[Head, ...] = (),
) -> Sequence[Passage]:
    """What a search for `text` by these principals shows."""
    words = HashedWords()
    [vector] = await words.embed([text], role="query")
    search = Search(
        tenant=Tenant(tenant),
        text=text,
        vector=vector,
        model=words.model,
        limit=limit,
        principals=principals,
        filters=filters or {},
        heads=heads,
    )
    return await index.search(search)
