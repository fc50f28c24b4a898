"""Events, heads and passages as Milvus rows, and the filter expressions over them."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import orjson

from processors.backends.milvus_client import MAX_VARCHAR_BYTES, Row
from processors.errors import Poison
from processors.ports import Head, Search
from schemas import Chunk, ChunksEmbedded, DocumentId, Passage, Scalar, Tenant, digest

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


def document_key(tenant: Tenant, document_id: DocumentId) -> str:
    """A document's name in filters: 32 hex digits, so that no id needs quoting or a length limit."""
    return digest((tenant, document_id))


def chunk_rows(event: ChunksEmbedded) -> list[Row]:
    """One row per chunk of a slice. Poison where a text does not fit a field."""
    about = event.document
    document = document_key(about.tenant, about.document_id)
    vectors = np.frombuffer(event.vectors, dtype="<f4").reshape(-1, event.dimensions)
    same: Row = {
        "tenant": about.tenant,
        "document": document,
        "document_id": about.document_id,
        "version": about.version,
        "digest": about.digest,
        "title": about.title,
        "metadata": _fitting("metadata", orjson.dumps(dict(about.metadata)).decode()),
        "readers": tokens(reader_token(reader) for reader in about.readers),
        "labels": tokens(label_token(field, value) for field, value in about.metadata.items()),
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


def head_row(head: Head) -> Row:
    """A row per version, which decides: a late writer of an older version adds garbage and overwrites nothing."""
    document = document_key(head.tenant, head.document_id)
    return {
        "id": digest((document, str(head.version))),
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


def reader_token(reader: str) -> str:
    return digest(("reader", reader))


def label_token(field: str, value: Scalar) -> str:
    """Equal for equal values: 2 and 2.0 are one number, but "2" is a text and True is neither."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return digest(("label", field, type(value).__name__, str(value)))


def tokens(items: Any) -> str:
    """A set of hex tokens in one text, each found by `like "%|token|%"`; empty for none.

    Milvus Lite evaluates array and JSON filters row by row (1.2 s over 50,000 rows), this form in bulk.
    """
    joined = "|".join(sorted(set(items)))
    return f"|{joined}|" if joined else ""


def quoted(value: str) -> str:
    """The only way a value gets into an expression: a string literal that ends nowhere but at its end."""
    escapes = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"}
    return '"' + "".join(escapes.get(character, character) for character in value) + '"'


def among(field: str, values: Sequence[str]) -> str:
    return f"{field} in [{', '.join(quoted(value) for value in values)}]"


def rows_of(tenant: Tenant, document_id: DocumentId, *, version: int, content: str) -> str:
    """One version's rows; `content` excludes what an abandoned writer left of another text under the same version."""
    return f"{all_rows_of(tenant, document_id)} and version == {version} and digest == {quoted(content)}"


def all_rows_of(tenant: Tenant, document_id: DocumentId) -> str:
    return f"tenant == {quoted(tenant)} and document == {quoted(document_key(tenant, document_id))}"


def visible(search: Search) -> str:
    """What a search may see: its tenant, documents its principals may read, metadata as its filters say."""
    clauses = [f"tenant == {quoted(search.tenant)}"]
    readers = [_contains("readers", reader_token(principal)) for principal in search.principals]
    clauses.append(" or ".join(['readers == ""', *readers]))
    for field, wanted in search.filters.items():
        values = wanted if isinstance(wanted, tuple) else (wanted,)
        labels = [_contains("labels", label_token(field, value)) for value in values]
        clauses.append(" or ".join(labels) or "version < 0")
    return " and ".join(f"({clause})" for clause in clauses)


def _contains(field: str, token: str) -> str:
    return f"{field} like {quoted(f'%|{token}|%')}"


def _fitting(what: str, text: str) -> str:
    if len(text.encode()) > MAX_VARCHAR_BYTES:
        raise Poison(
            "too-large-for-index", f"{what} has {len(text.encode()):,} bytes; at most {MAX_VARCHAR_BYTES:,} fit"
        )
    return text
