from collections.abc import Sequence
from dataclasses import replace

import pytest

from processors.conformance.documents import About
from processors.embed import Embed
from processors.errors import Poison
from processors.ports import Index, Role, Vectors
from processors.upsert import Upsert
from schemas import (
    ChunksExtracted,
    DocumentDeleted,
    DocumentErased,
    DocumentId,
    DocumentIndexed,
    DocumentRejected,
    DocumentUnchanged,
    Receipt,
)
from tests.processors.happenings import ACME, deleted, embedded, slices
from tests.processors.hashed_words import HashedWords
from tests.processors.index_contract import find, versions

pytestmark = pytest.mark.stack


async def receipts(
    index: Index, *events: ChunksExtracted | DocumentDeleted, embedder: HashedWords | None = None
) -> Sequence[Receipt]:
    """What the embed and upsert stages say about these events."""
    embed, upsert = Embed(embedder or HashedWords(), index), Upsert(index)
    return [receipt for event in events for after in await embed(event) for receipt in await upsert(after)]


async def receipt(index: Index, *events: ChunksExtracted | DocumentDeleted) -> Receipt:
    [only] = await receipts(index, *events)
    return only


async def live_texts(index: Index) -> list[str]:
    return [chunk.text for chunk in await index.chunks(ACME, DocumentId("handbook"))]


async def test_a_document_becomes_searchable_with_its_last_slice(index: Index) -> None:
    events = slices(["one pump", "two pumps", "three pumps"], per_slice=2)
    assert await receipts(index, events[0]) == []
    assert await find(index, "pumps") == []
    about = events[0].document
    assert await receipt(index, events[1]) == DocumentIndexed(
        tenant=ACME,
        document_id=about.document_id,
        version=1,
        published_at=about.published_at,
        chunks=3,
        embedded=3,
        model="hashed-words",
    )
    assert len(await find(index, "pumps")) == 3


async def test_the_receipt_counts_what_was_embedded_over_all_slices(index: Index) -> None:
    await receipts(index, *slices(["one", "two", "three", "four"], per_slice=2))
    indexed = await receipt(index, *slices(["one", "2", "three", "4"], per_slice=2, version=2))
    assert isinstance(indexed, DocumentIndexed)
    assert (indexed.chunks, indexed.embedded, indexed.replaces) == (4, 2, 1)
    assert await live_texts(index) == ["one", "2", "three", "4"]


async def test_a_redelivery_gets_its_receipt_again_and_writes_nothing(index: Index) -> None:
    await receipts(index, *slices(["before"]))
    events = slices(["one", "two", "three"], per_slice=2, version=2)
    first = await receipt(index, *events)
    assert isinstance(first, DocumentIndexed)
    assert first.replaces == 1
    before = await index.head(ACME, events[0].document.document_id)
    assert await receipt(index, *events) == first
    assert await index.head(ACME, events[0].document.document_id) == before


async def test_a_slice_that_is_redelivered_before_the_flip_changes_nothing(index: Index) -> None:
    first, last = slices(["one", "two", "three"], per_slice=2)
    assert await receipts(index, first, first) == []
    indexed = await receipt(index, last)
    assert isinstance(indexed, DocumentIndexed)
    assert indexed.chunks == 3


async def test_a_missing_slice_is_poison_and_leaves_the_old_version_live(index: Index) -> None:
    await receipts(index, *slices(["old"]))
    _, last = slices(["one", "two", "three"], per_slice=2, version=2)
    with pytest.raises(Poison, match=r"incomplete-document: 'handbook' version 2 has 3 chunks, of which 1 arrived"):
        await receipts(index, last)
    assert await live_texts(index) == ["old"]


async def test_the_same_content_under_a_newer_version_is_unchanged(index: Index) -> None:
    await receipts(index, *slices(["one", "two"], per_slice=1))
    again = slices(["one", "two"], per_slice=1, version=2)
    assert isinstance(await receipt(index, *again), DocumentUnchanged)
    head = await index.head(ACME, again[0].document.document_id)
    assert head is not None
    assert (head.version, head.rows_version) == (2, 1)
    assert isinstance(await receipt(index, *again), DocumentUnchanged)
    assert versions(await find(index, "one")) == {1}


async def test_the_same_version_published_again_is_unchanged(index: Index) -> None:
    await receipts(index, *slices(["one"]))
    assert isinstance(await receipt(index, *slices(["one"])), DocumentUnchanged)


async def test_a_change_after_an_unchanged_version_replaces_the_rows(index: Index) -> None:
    for version, text in ((1, "one"), (2, "one"), (3, "three")):
        await receipts(index, *slices([text], version=version))
    assert await live_texts(index) == ["three"]
    assert versions(await find(index, "one three")) == {3}


async def test_an_older_version_is_superseded_once(index: Index) -> None:
    await receipts(index, *slices(["new"], version=2))
    old = await receipt(index, *slices(["a", "b", "c"], per_slice=1, version=1))
    assert isinstance(old, DocumentRejected)
    assert (old.stage, old.code) == ("upsert", "superseded")
    assert await live_texts(index) == ["new"]


async def test_a_version_with_other_content_is_refused(index: Index) -> None:
    await receipts(index, *slices(["one"]))
    reused = await receipt(index, *slices(["other"]))
    assert isinstance(reused, DocumentRejected)
    assert reused.code == "version-reused"
    assert "publish a higher version" in reused.detail
    assert await live_texts(index) == ["one"]


async def test_a_deletion_removes_every_version_and_counts_the_rows(index: Index) -> None:
    await receipts(index, *slices(["one", "two"]))
    await receipts(index, *slices(["one", "2", "three"], version=2))
    erased = await receipt(index, deleted(version=3))
    assert isinstance(erased, DocumentErased)
    assert list(erased.removed.values()) == [5, 2]  # chunks, and the heads that named them
    assert await find(index, "one") == []
    assert await index.heads(ACME) == []
    again = await receipt(index, deleted(version=3))
    assert isinstance(again, DocumentErased)
    assert list(again.removed.values()) == [0, 0]


async def test_a_deletion_removes_what_is_under_way_and_what_still_comes_of_it_is_superseded(index: Index) -> None:
    await receipts(index, *slices(["one"]))
    events = slices(["two", "three", "four"], per_slice=1, version=2)
    await receipts(index, *events[:2])
    erased = await receipt(index, deleted(version=3))
    assert isinstance(erased, DocumentErased)
    assert list(erased.removed.values()) == [3, 1]
    late = await receipt(index, *events)
    assert isinstance(late, DocumentRejected)
    assert late.code == "superseded"
    assert (await index.count(events[0].document)).chunks == 0


async def test_an_unknown_document_may_be_deleted_before_it_arrives(index: Index) -> None:
    assert isinstance(await receipt(index, deleted(version=2)), DocumentErased)
    late = await receipt(index, *slices(["one"], version=1))
    assert isinstance(late, DocumentRejected)
    assert late.code == "superseded"
    assert await find(index, "one") == []


async def test_a_deleted_document_comes_back_with_a_higher_version(index: Index) -> None:
    await receipts(index, *slices(["one"]))
    await receipts(index, deleted(version=2))
    same = await receipt(index, *slices(["one"], version=2))
    assert isinstance(same, DocumentRejected)
    assert same.code == "version-reused"
    assert isinstance(await receipt(index, *slices(["one"], version=3)), DocumentIndexed)
    assert versions(await find(index, "one")) == {3}


async def test_an_older_deletion_is_superseded(index: Index) -> None:
    await receipts(index, *slices(["one"], version=5))
    late = await receipt(index, deleted(version=4))
    assert isinstance(late, DocumentRejected)
    assert late.code == "superseded"
    assert await live_texts(index) == ["one"]


async def test_new_readers_take_effect_without_a_new_embedding(index: Index) -> None:
    await receipts(index, *slices(["the pump"]))
    indexed = await receipt(index, *slices(["the pump"], version=2, readers=("ann",)))
    assert isinstance(indexed, DocumentIndexed)
    assert indexed.embedded == 0
    assert await find(index, "pump") == []
    assert len(await find(index, "pump", principals=("ann",))) == 1


class Unasked(HashedWords):
    """A model that nobody may call."""

    async def embed(self, texts: Sequence[str], *, role: Role) -> Vectors:
        raise AssertionError(f"asked for {len(texts)} texts")


LARGE = [f"chunk {number} of a large document" for number in range(300)]


@pytest.mark.parametrize(
    "change",
    [
        About(version=2, metadata={"team": "north"}),
        About(version=2, readers=("ann", "group:ops")),
        About(version=2, metadata={"team": "south"}, readers=("ann",)),
    ],
    ids=["metadata", "readers", "both"],
)
async def test_a_change_of_metadata_or_readers_alone_never_calls_the_model(index: Index, change: About) -> None:
    await receipts(index, *slices(LARGE))
    [indexed] = await receipts(index, *slices(LARGE, **change), embedder=Unasked())
    assert isinstance(indexed, DocumentIndexed)
    assert (indexed.chunks, indexed.embedded) == (300, 0)
    assert await live_texts(index) == LARGE
    found = await find(index, "chunk 299 of a large document", principals=("ann",), filters=change.get("metadata"))
    assert (found[0].text, found[0].version, found[0].metadata) == (LARGE[299], 2, change.get("metadata", {}))


async def test_what_moves_from_slice_to_slice_keeps_its_vector(index: Index) -> None:
    await receipts(index, *slices(LARGE))
    moved = [*LARGE[200:], "a new line", *LARGE[:200]]
    embedder = HashedWords()
    [indexed] = await receipts(index, *slices(moved, version=2), embedder=embedder)
    assert isinstance(indexed, DocumentIndexed)
    assert (indexed.chunks, indexed.embedded, embedder.texts) == (301, 1, ["a new line"])
    assert await live_texts(index) == moved


async def test_a_text_that_no_row_can_hold_is_poison(index: Index) -> None:
    [event] = slices(["word " * 20_000])
    with pytest.raises(Poison, match=r"too-large-for-index: a chunk's text has 100,000 bytes"):
        await receipts(index, event)


async def test_another_model_is_refused_also_for_known_content(index: Index) -> None:
    [event] = slices(["one"])
    await receipts(index, event)
    newer = await embedded(replace(event, document=replace(event.document, version=2)), HashedWords(model="newer"))
    with pytest.raises(Poison, match="model-mismatch"):
        await Upsert(index)(newer)
