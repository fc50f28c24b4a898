"""Deletes rows and heads that no reader can see any more."""

import time
from collections.abc import Mapping, Sequence

from processors.backends.milvus.client import Row
from processors.backends.milvus.expressions import among, quoted
from processors.backends.milvus.rows import DELETED, HEAD_FIELDS, NEWEST, head_of, newest_row
from processors.backends.milvus.search import Live, by_document, dead_rows
from processors.backends.milvus.store import MilvusStore
from processors.ports import Head

SWEEP_AFTER_S = 10.0
"""Beyond the staleness bound: longer than any search runs."""
DOCUMENTS_PER_SWEEP = 512
"""So that a sweep after a large ingest stays short; the next one goes on."""
DOCUMENTS_PER_DELETE = 64
"""Named in one expression: one pass over the rows for all of them."""
MOST_WAITING = 16_384
"""An import may flip ten times what is swept; these take some 15 MB."""


class Unswept:
    """Documents whose head was moved, and that wait for their sweep.

    Where they become too many, the oldest are forgotten. Once there is room again, the store shows which of them have
    something to sweep.
    """

    def __init__(self, store: MilvusStore) -> None:
        self._store = store
        self._heads: dict[str, Head] = {}
        """By document, the last flip at the end."""
        self._look = True
        """For what was forgotten, or what workers before this one left."""

    def head(self, document: str) -> Head | None:
        """Its last flip here, as long as a search may not see it."""
        return self._heads.get(document)

    def add(self, document: str, head: Head, *, staleness_s: float) -> None:
        self._heads.pop(document, None)
        self._heads[document] = head
        seen_s = time.time() - staleness_s
        while len(self._heads) > MOST_WAITING:
            oldest, flipped = next(iter(self._heads.items()))
            if flipped.flipped_at.timestamp() > seen_s:
                return  # this process must still know what it wrote
            self._heads.pop(oldest)
            self._look = self._look or flipped.previous_rows_version is not None

    async def sweep(self, *, staleness_s: float) -> int:
        """Delete what no reader can see any more of the documents that waited longest; how many rows."""
        if self._look and len(self._heads) <= MOST_WAITING // 2:
            await self._look_behind()
        due_s = time.time() - staleness_s - SWEEP_AFTER_S
        due = [document for document, head in self._heads.items() if head.flipped_at.timestamp() <= due_s]
        due = due[:DOCUMENTS_PER_SWEEP]
        deleted = await swept(self._store, due, due_s)
        for document in due:
            head = self._heads.get(document)
            if head is not None and head.flipped_at.timestamp() <= due_s:  # else it was flipped again meanwhile
                self._heads.pop(document)
        return deleted

    async def _look_behind(self) -> None:
        room = max(0, MOST_WAITING - len(self._heads))
        superseded, deleted = await left_behind(self._store, most=room)
        self._look = len(superseded) > room
        self._heads = dict([*superseded.items(), *deleted.items()][:room]) | self._heads


async def left_behind(store: MilvusStore, *, most: int) -> tuple[dict[str, Head], dict[str, Head]]:
    """Documents with more than one head, and deleted ones: a worker may not have swept them.

    One beyond `most` shows that there are more.
    """
    superseded: dict[str, Head] = {}
    deleted: dict[str, Head] = {}
    everything = f"document != {quoted(NEWEST)}"
    async for page in store.pages(store.heads, everything, HEAD_FIELDS, snapshot_s=None, by="document"):
        for document, heads in by_document(page).items():
            if len(heads) > 1 and len(superseded) <= most:
                superseded[document] = head_of(heads[0])
            elif heads[0]["rows_version"] == DELETED and len(deleted) < most:
                deleted[document] = head_of(heads[0])
    return superseded, deleted


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
