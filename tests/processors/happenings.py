"""Events as their producers would make them, in one line each."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from itertools import count
from typing import Any

from processors.ports import Head
from schemas import (
    Chunk,
    ChunksEmbedded,
    ChunksExtracted,
    Document,
    DocumentDeleted,
    DocumentId,
    QueryAsked,
    QueryId,
    ReplyTo,
    Scalar,
    Tenant,
    digest,
    text_hash,
)
from tests.processors.hashed_words import HashedWords

ACME = Tenant("acme")
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
_seconds = count()


def published_at() -> datetime:
    """Never the same twice, as with a producer's clock."""
    return NOON.replace(microsecond=next(_seconds))


def slices(
    texts: Sequence[str],
    *,
    document_id: str = "handbook",
    version: int = 1,
    tenant: str = ACME,
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


def head(event: ChunksExtracted | ChunksEmbedded, *, flipped_at: datetime = NOON, **changes: Any) -> Head:
    """The head that makes the event's document live."""
    about = event.document
    return replace(
        Head(
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
        ),
        **changes,
    )


def deleted(document_id: str = "handbook", *, version: int, tenant: str = ACME) -> DocumentDeleted:
    return DocumentDeleted(
        tenant=Tenant(tenant),
        document_id=DocumentId(document_id),
        version=version,
        published_at=published_at(),
    )


def asked(text: str, **changes: Any) -> QueryAsked:
    """A question of somebody at ACME."""
    query = QueryAsked(
        query_id=QueryId("q-1"),
        tenant=ACME,
        text=text,
        reply_to=ReplyTo(topic="answers", partition=0),
        asked_at=NOON,
    )
    return replace(query, **changes)
