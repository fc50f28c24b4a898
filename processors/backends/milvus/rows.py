"""Events, heads and passages as Milvus rows."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import orjson

from processors.backends.milvus.client import Row
from processors.backends.milvus.expressions import EVERYBODY, document_key, label_token, reader_token, tokens
from processors.backends.milvus.schema import MAX_SET, MAX_VARCHAR_BYTES, Sets
from processors.errors import Poison
from processors.ports import Head, Vectors
from schemas import Chunk, ChunksEmbedded, Passage, digest

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
DELETED = 0
"""As a row's `rows_version`: versions begin at 1, and Milvus knows no null in 2.4."""
NEWEST = ""
"""As a head row's `document`: it repeats the document's newest head, for the writer that asks for it by key."""
NO_PAGE = 0
CHUNK_FIELDS = ("ordinal", "text", "text_hash", "page", "section", "start", "end")
PASSAGE_FIELDS = (*CHUNK_FIELDS, "id", "document", "document_id", "version", "digest", "title", "metadata", "dense")
HEAD_FIELDS = (
    "id",
    "tenant",
    "document",
    "document_id",
    "version",
    "rows_version",
    "previous_rows_version",
    "flipped_at_us",
    "published_at",
    "digest",
    "chunk_count",
    "model",
    "title",
    "media_type",
)


def chunk_rows(event: ChunksEmbedded, sets: Sets) -> list[Row]:
    """One row per chunk of a slice. Poison where a text does not fit a field, or a vector is none."""
    about = event.document
    document = document_key(about.tenant, about.document_id)
    vectors = np.frombuffer(event.vectors, dtype="<f4").reshape(-1, event.dimensions)
    if not np.isfinite(vectors).all():  # Milvus Lite would store them
        raise Poison("index-refused", "a vector holds NaN or infinity: embed the document again")
    same: Row = {
        "tenant": about.tenant,
        "document": document,
        "document_id": about.document_id,
        "version": about.version,
        "digest": about.digest,
        "title": about.title,
        "metadata": _fitting("metadata", orjson.dumps(dict(about.metadata)).decode()),
        "readers": _set("readers", [reader_token(reader) for reader in about.readers], sets, none=[EVERYBODY]),
        "labels": _set("labels", [label_token(field, value) for field, value in about.metadata.items()], sets),
    }
    # An ordinal that occurs twice in a slice would be an error on a server; the last one counts.
    rows = {
        chunk.ordinal: same
        | {
            "id": digest((document, str(about.version), str(chunk.ordinal))),
            "ordinal": chunk.ordinal,
            "text": _fitting("a chunk's text", chunk.text),
            "text_hash": chunk.text_hash,
            "page": chunk.page or NO_PAGE,
            "section": _fitting("a section path", orjson.dumps(chunk.section).decode()),
            "start": chunk.start,
            "end": chunk.end,
            "embedded": event.embedded if position == 0 else 0,
            "dense": vector,
        }
        for position, (chunk, vector) in enumerate(zip(event.chunks, vectors, strict=True))
    }
    return list(rows.values())


def chunk_of(row: Mapping[str, Any]) -> Chunk:
    return Chunk(
        ordinal=row["ordinal"],
        text=row["text"],
        text_hash=row["text_hash"],
        page=row["page"] or None,
        section=tuple(orjson.loads(row["section"])),
        start=row["start"],
        end=row["end"],
    )


def vectors_of(rows: Sequence[Row], dimensions: int) -> dict[str, Vectors]:
    """The vectors that can be used again, by text hash; one that cannot is computed anew."""
    vectors = {row["text_hash"]: np.asarray(row["dense"], dtype=np.float32) for row in rows}
    return {
        text_hash: vector
        for text_hash, vector in vectors.items()
        if vector.shape == (dimensions,) and np.isfinite(vector).all()
    }


def passage_of(row: Mapping[str, Any], scores: Mapping[str, float]) -> Passage:
    return Passage(
        document_id=row["document_id"],
        version=row["version"],
        ordinal=row["ordinal"],
        title=row["title"],
        text=row["text"],
        page=row["page"] or None,
        section=tuple(orjson.loads(row["section"])),
        start=row["start"],
        end=row["end"],
        metadata=orjson.loads(row["metadata"]),
        scores=scores,
    )


def head_key(document: str, version: int) -> str:
    """Of the row that decides about a version."""
    return digest((document, str(version)))


def head_row(head: Head) -> Row:
    """A row per version, which decides: a late writer of an older version adds garbage and overwrites nothing."""
    document = document_key(head.tenant, head.document_id)
    return {
        "id": head_key(document, head.version),
        "tenant": head.tenant,
        "document": document,
        "document_id": head.document_id,
        "version": head.version,
        "rows_version": head.rows_version or DELETED,
        "previous_rows_version": head.previous_rows_version or DELETED,
        "flipped_at_us": (head.flipped_at - EPOCH) // timedelta(microseconds=1),
        "published_at": head.published_at.isoformat(),
        "digest": head.digest,
        "chunk_count": head.chunk_count,
        "model": head.model,
        "title": head.title,
        "media_type": head.media_type,
        "anchor": [0.0, 0.0],
    }


def newest_row(head: Head) -> Row:
    """A row per document, found by its key alone, in a millisecond where a filter reads all heads."""
    return head_row(head) | {"id": document_key(head.tenant, head.document_id), "document": NEWEST}


def head_of(row: Mapping[str, Any]) -> Head:
    return Head(
        tenant=row["tenant"],
        document_id=row["document_id"],
        version=row["version"],
        rows_version=row["rows_version"] or None,
        previous_rows_version=row["previous_rows_version"] or None,
        flipped_at=EPOCH + timedelta(microseconds=row["flipped_at_us"]),
        published_at=datetime.fromisoformat(row["published_at"]),
        digest=row["digest"],
        chunk_count=row["chunk_count"],
        model=row["model"],
        title=row["title"],
        media_type=row["media_type"],
    )


def _set(name: str, items: Sequence[str], sets: Sets, none: Sequence[str] = ()) -> str | list[str]:
    if sets == "text":
        return _fitting(name, tokens(items))
    if len(items) > MAX_SET:
        raise Poison("too-large-for-index", f"{name} has {len(items):,} entries; at most {MAX_SET:,} fit")
    return sorted(set(items)) or list(none)


def _fitting(what: str, text: str) -> str:
    if len(text.encode()) > MAX_VARCHAR_BYTES:
        raise Poison(
            "too-large-for-index", f"{what} has {len(text.encode()):,} bytes; at most {MAX_VARCHAR_BYTES:,} fit"
        )
    return text
