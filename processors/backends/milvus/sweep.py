"""Deletes rows and heads that no reader can see any more."""

from collections.abc import Mapping, Sequence

from processors.backends.milvus.client import Row
from processors.backends.milvus.expressions import among, quoted
from processors.backends.milvus.rows import DELETED, HEAD_FIELDS, NEWEST, head_of, newest_row
from processors.backends.milvus.search import Live, by_document, dead_rows
from processors.backends.milvus.store import MilvusStore
from processors.ports import Head

DOCUMENTS_PER_DELETE = 64
"""Named in one expression: one pass over the rows for all of them."""


async def left_behind(store: MilvusStore) -> dict[str, Head]:
    """Documents with more than one head, or a deleted one: a worker may have died before it swept them."""
    rows = await _heads(store, f"document != {quoted(NEWEST)}")
    return {
        document: head_of(heads[0])
        for document, heads in by_document(rows).items()
        if len(heads) > 1 or heads[0]["rows_version"] == DELETED
    }


async def flipped_since(store: MilvusStore, since_s: float) -> list[str]:
    """Documents whose head was moved after that time (Unix)."""
    rows = await _heads(store, f"document != {quoted(NEWEST)} and flipped_at_us >= {int(since_s * 1e6)}")
    return sorted(by_document(rows))


async def swept(store: MilvusStore, documents: Sequence[str], due_s: float) -> int:
    """Delete what is dead of these documents where their last flip lies before `due_s` (Unix time); how many rows."""
    deleted = 0
    for start in range(0, len(documents), DOCUMENTS_PER_DELETE):
        some = documents[start : start + DOCUMENTS_PER_DELETE]
        versions = by_document(await _heads(store, among("document", some)))
        due = {document: rows for document, rows in versions.items() if rows[0]["flipped_at_us"] / 1e6 <= due_s}
        deleted += await _sweep(store, due)
    return deleted


async def _sweep(store: MilvusStore, documents: Mapping[str, Sequence[Row]]) -> int:
    dead, lost, repaired = [], [], []
    for document, (newest, *older) in documents.items():
        live = {document: Live(newest["rows_version"], newest["digest"])}
        dead.append(f"(version <= {newest['version']} and {dead_rows(live)})")
        lost += [row["id"] for row in older]
        if older:  # a late writer may have made one of them the one that is found by key
            repaired.append(newest_row(head_of(newest)))
    deleted = await store.delete(store.chunks, " or ".join(dead)) if dead else 0
    if lost:
        await store.write_heads(repaired)
        await store.delete(store.heads, among("id", lost))
    return deleted


async def _heads(store: MilvusStore, expression: str) -> list[Row]:
    return await store.query(store.heads, expression, HEAD_FIELDS, snapshot_s=None)
