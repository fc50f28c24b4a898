"""Upsert: vectors in, a searchable document and its receipt out."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from processors.errors import Poison
from processors.ports import Head, Index, Stored
from schemas import (
    ChunksEmbedded,
    DocumentDeleted,
    DocumentErased,
    DocumentIndexed,
    DocumentRejected,
    DocumentUnchanged,
    Receipt,
)


def utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Upsert:
    """Store a document's slices; with the last one, make its version the one that searches see.

    The rows come first and the head after them, so that there is never no version and never a mixture.
    """

    index: Index
    now: Callable[[], datetime] = utc_now

    async def __call__(self, event: ChunksEmbedded | DocumentDeleted, /) -> Sequence[Receipt]:
        if isinstance(event, DocumentDeleted):
            return await self._erase(event)
        last = event.slice == event.slices - 1
        head = await self.index.head(event.document.tenant, event.document.document_id)
        if head is not None and not _is_news(event, head):
            return [await self._old_news(event, head)] if last else []
        await self.index.write(event)
        return [await self._make_live(event, head)] if last else []

    async def _make_live(self, event: ChunksEmbedded, head: Head | None) -> Receipt:
        about = event.document
        stored = await self._stored(event)
        if stored.chunks != about.chunk_count:
            newest = (await self.index.newest(about.tenant, {about.document_id: about.version})).get(about.document_id)
            if newest is not None and not _is_news(event, newest):  # another writer came by, and removed them
                return await self._old_news(event, newest)
            raise Poison(
                "incomplete-document",
                f"{about.document_id!r} version {about.version} has {about.chunk_count} chunks, of which "
                f"{stored.chunks} arrived: publish it again with a higher version",
            )
        await self.index.flip(
            Head(
                tenant=about.tenant,
                document_id=about.document_id,
                version=about.version,
                rows_version=about.version,
                previous_rows_version=head.rows_version if head else None,
                flipped_at=self.now(),
                published_at=about.published_at,
                digest=about.digest,
                chunk_count=about.chunk_count,
                model=event.model,
                title=about.title,
                media_type=about.media_type,
            )
        )
        return _indexed(event, stored, head.rows_version if head else None)

    async def _old_news(self, event: ChunksEmbedded, head: Head) -> Receipt:
        """The receipt for a version that changes nothing in the index but, at most, its number."""
        about = event.document
        if about.version < head.version:
            return _rejected(event, "superseded", f"version {head.version} is newer than {about.version}")
        if about.version == head.version and (head.rows_version is None or head.digest != about.digest):
            return _rejected(
                event,
                "version-reused",
                f"version {about.version} was {'deleted' if head.rows_version is None else 'published'} before, "
                f"with other content: publish a higher version",
            )
        if about.version == head.version == head.rows_version and about.published_at == head.published_at:
            return _indexed(event, await self._stored(event), head.previous_rows_version)
        if about.version > head.version:
            await self.index.flip(
                replace(
                    head,
                    version=about.version,
                    previous_rows_version=head.rows_version,
                    flipped_at=self.now(),
                    published_at=about.published_at,
                )
            )
        return DocumentUnchanged(
            tenant=about.tenant,
            document_id=about.document_id,
            version=about.version,
            published_at=about.published_at,
        )

    async def _stored(self, event: ChunksEmbedded) -> Stored:
        if event.slices == 1:  # the write was acknowledged
            return Stored(len(event.chunks), event.embedded)
        return await self.index.count(event.document)

    async def _erase(self, event: DocumentDeleted) -> Sequence[Receipt]:
        head = await self.index.head(event.tenant, event.document_id)
        if head is not None and head.version > event.version:
            return [_rejected(event, "superseded", f"version {head.version} is newer than {event.version}")]
        await self.index.flip(
            Head(
                tenant=event.tenant,
                document_id=event.document_id,
                version=event.version,
                rows_version=None,
                previous_rows_version=None,
                flipped_at=self.now(),
                published_at=event.published_at,
                digest="",
                chunk_count=0,
                model="",
                title="",
                media_type="",
            )
        )
        removed = await self.index.erase(event.tenant, event.document_id, up_to_version=event.version)
        return [
            DocumentErased(
                tenant=event.tenant,
                document_id=event.document_id,
                version=event.version,
                published_at=event.published_at,
                removed=removed,
            )
        ]


def _is_news(event: ChunksEmbedded, head: Head) -> bool:
    """Whether the slice has to be written: a newer version with other content, or vectors of another model."""
    about = event.document
    if about.version < head.version or head.rows_version is None:
        return about.version > head.version
    if head.model != event.model:
        return True
    return about.version > head.version and about.digest != head.digest


def _indexed(event: ChunksEmbedded, stored: Stored, before: int | None) -> DocumentIndexed:
    about = event.document
    return DocumentIndexed(
        tenant=about.tenant,
        document_id=about.document_id,
        version=about.version,
        published_at=about.published_at,
        chunks=about.chunk_count,
        embedded=stored.embedded,
        model=event.model,
        replaces=before if before != about.version else None,  # itself: with vectors of another model
    )


def _rejected(event: ChunksEmbedded | DocumentDeleted, code: str, detail: str) -> DocumentRejected:
    return DocumentRejected.of(event, stage="upsert", code=code, detail=detail)
