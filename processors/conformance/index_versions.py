"""How documents of an Index change: exactly one version of each is seen, at any time."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from processors.conformance import equal, holds, raises
from processors.conformance.documents import HashedWords, embedded, head
from processors.conformance.shelf import HANDBOOK, Shelf
from processors.errors import Transient
from schemas import DocumentId

MIXTURE = "readers see a version that is not the document's"


async def chunks_are_invisible_until_the_head_names_their_version(shelf: Shelf) -> None:
    """A document appears whole, when its head is flipped."""
    [event] = shelf.slices(["a red pump", "a blue valve"])
    await shelf.write(event)
    equal(await shelf.texts("pump"), [], "what is found before the flip", "readers see half a document")
    await shelf.index.flip(head(event))
    wanted = ["a red pump", "a blue valve"]
    equal(await shelf.texts("pump"), wanted, "what is found after the flip", "documents stay invisible")


async def a_new_version_replaces_the_old_one(shelf: Shelf) -> None:
    """After a flip only the new version's chunks are found and listed."""
    await shelf.publish(["the old pump", "a valve"])
    await shelf.publish(["the new pump"], version=2)
    equal(await shelf.texts("pump valve"), ["the new pump"], "what is found", MIXTURE)
    listed = [chunk.text for chunk in await shelf.index.chunks(shelf.tenant, HANDBOOK)]
    equal(listed, ["the new pump"], "the document's chunks", MIXTURE)


async def a_version_that_changed_nothing_keeps_its_rows(shelf: Shelf) -> None:
    """A head may go on naming the rows of the version before."""
    live = await shelf.publish(["the pump"])
    await shelf.index.flip(replace(live, version=2, previous_rows_version=1))
    found = {passage.version for passage in await shelf.find("pump")}
    equal(found, {1}, "the version found", "an unchanged document vanishes")
    listed = [chunk.text for chunk in await shelf.index.chunks(shelf.tenant, HANDBOOK)]
    equal(listed, ["the pump"], "the document's chunks", "an unchanged document vanishes")


async def readers_see_exactly_one_version_while_a_document_changes(shelf: Shelf) -> None:
    """Searches that run during ten changes never find none and never find two versions."""
    await shelf.publish(["pump one", "pump two"], flipped_at=datetime.now(UTC))
    done = asyncio.Event()
    seen: list[set[int]] = []

    async def read() -> None:
        while not done.is_set():
            seen.append({passage.version for passage in await shelf.find("pump")})

    reading = asyncio.create_task(read())
    try:
        for version in range(2, 12):
            for event in shelf.slices([f"pump one {version}", f"pump two {version}"], version=version, per_slice=1):
                await shelf.write(event)
            await shelf.index.flip(head(event, flipped_at=datetime.now(UTC)))
    finally:
        done.set()
        await reading
    equal({len(found) for found in seen}, {1}, f"versions seen by each of {len(seen)} searches", MIXTURE)
    last = {passage.version for passage in await shelf.find("pump")}
    equal(last, {11}, "the version found at the end", MIXTURE)


async def a_late_writer_of_an_older_version_changes_nothing(shelf: Shelf) -> None:
    """Version 2 written after version 3 stays invisible."""
    await shelf.publish(["the newest pump"], version=3)
    await shelf.publish(["the older pump"], version=2)
    newest = await shelf.index.head(shelf.tenant, HANDBOOK)
    equal(newest and newest.version, 3, "the head's version", MIXTURE)
    equal(await shelf.texts("pump"), ["the newest pump"], "what is found", MIXTURE)


async def what_an_abandoned_writer_left_under_the_same_version_stays_hidden(shelf: Shelf) -> None:
    """Rows of another text under the same version number are garbage."""
    [abandoned] = shelf.slices(["one old pump", "two old pumps", "three old pumps"], version=2)
    await shelf.write(abandoned)
    await shelf.publish(["one new pump"], version=2)
    equal(await shelf.texts("pump"), ["one new pump"], "what is found", MIXTURE)
    equal(len(await shelf.index.chunks(shelf.tenant, HANDBOOK)), 1, "the document's chunks", MIXTURE)


async def a_deleted_document_is_invisible_at_once_and_for_late_older_versions(shelf: Shelf) -> None:
    """Deleting hides a document, erasing removes its rows, and an older version does not bring it back."""
    live = await shelf.publish(["a pump", "a valve"])
    await shelf.index.flip(replace(live, version=2, rows_version=None, flipped_at=datetime.now(UTC)))
    equal(await shelf.texts("pump"), [], "what is found after the deletion", "deleted documents are still read")
    for version, wanted in ((2, [1, 2]), (2, [0, 0]), (3, [0, 0])):  # a head and two chunks; again; deleted once more
        await shelf.index.flip(replace(live, version=version, rows_version=None, flipped_at=datetime.now(UTC)))
        erased = await shelf.index.erase(shelf.tenant, HANDBOOK, up_to_version=version)
        equal(sorted(erased.values()), wanted, "rows erased, by collection", "the receipt of an erasure is wrong")
    await shelf.publish(["a pump", "a valve"], version=1)
    equal(await shelf.texts("pump"), [], "what is found after a late version", "deleted documents come back")
    equal(list(await shelf.index.heads(shelf.tenant)), [], "the tenant's documents", "deleted documents come back")
    equal(list(await shelf.index.chunks(shelf.tenant, HANDBOOK)), [], "its chunks", "deleted documents come back")


async def an_erasure_removes_what_was_under_way_and_keeps_what_came_after(shelf: Shelf) -> None:
    """Rows that no head ever named go as well; those of a version above the deletion's stay."""
    live = await shelf.publish(["a pump"])
    [abandoned] = shelf.slices(["a pump that never came", "another"], version=2)
    [later] = shelf.slices(["a later pump"], version=4)
    await shelf.write(abandoned)
    await shelf.write(later)
    await shelf.index.flip(replace(live, version=3, rows_version=None, flipped_at=datetime.now(UTC)))
    erased = await shelf.index.erase(shelf.tenant, HANDBOOK, up_to_version=3)
    equal(sorted(erased.values()), [1, 3], "rows erased, by collection", "deleted documents leave traces")
    left = [(await shelf.index.count(event.document)).chunks for event in (abandoned, later)]
    equal(left, [0, 1], "what is left of a version that was under way, and of a later one", "erasures miss or overdo")
    await shelf.index.flip(head(later))
    equal(await shelf.texts("pump"), ["a later pump"], "what is found later", "a deleted document cannot come back")


async def an_erasure_never_removes_what_is_live(shelf: Shelf) -> None:
    """Rows that a newer head names are refused as Transient, so that the deletion is looked at again."""
    live = await shelf.publish(["one pump"])
    await shelf.index.flip(replace(live, version=9, previous_rows_version=1))
    attempt = shelf.index.erase(shelf.tenant, HANDBOOK, up_to_version=5)
    error = await raises(Transient, attempt, "erasing live rows", "a late deletion leaves a document without chunks")
    holds("version 9" in error.reason, f"expected version 9 in {error.reason!r}", "nobody can tell what happened")
    equal(await shelf.texts("pump"), ["one pump"], "what is found", MIXTURE)


async def rows_that_a_newer_head_replaced_cannot_be_made_live_again(shelf: Shelf) -> None:
    """A head that names replaced rows is refused as Transient, so that its event is tried again."""
    first = await shelf.publish(["one pump"])
    await shelf.publish(["two pumps"], version=2)
    attempt = shelf.index.flip(replace(first, version=3, previous_rows_version=1))
    error = await raises(Transient, attempt, "a head of replaced rows", "a document loses its chunks to the sweep")
    said = f"the reason: expected document {HANDBOOK!r} and version 2 in it, got {error.reason!r}"
    holds(repr(HANDBOOK) in error.reason and "version 2" in error.reason, said, "nobody can tell what happened")
    equal(await shelf.texts("pump"), ["two pumps"], "what is found", MIXTURE)


async def sweep_deletes_what_no_reader_can_see(shelf: Shelf) -> None:
    """Replaced chunks go, once; live ones and those of a version under way stay."""
    await shelf.index.sweep()
    await shelf.publish(["one pump", "two pumps"])
    await shelf.publish(["three pumps"], version=2)
    await shelf.publish(["a valve"], document_id="other")
    [unfinished] = shelf.slices(["four pumps"], version=3)
    await shelf.write(unfinished)
    for wanted in (2, 0):
        equal(await shelf.index.sweep(), wanted, "chunks swept", "the index grows for ever, or loses chunks")
    kept = set(await shelf.texts("pumps"))
    equal(kept, {"three pumps", "a valve"}, "what is found after the sweep", "the sweep deletes live chunks")
    await shelf.index.flip(head(unfinished))
    listed = [chunk.text for chunk in await shelf.index.chunks(shelf.tenant, HANDBOOK)]
    equal(listed, ["four pumps"], "the chunks of the version that was under way", "the sweep deletes chunks in flight")


async def sweep_leaves_what_a_running_search_may_still_need(shelf: Shelf) -> None:
    """What was replaced a moment ago stays for the searches that began before."""
    await shelf.index.sweep()
    await shelf.publish(["one pump"], flipped_at=datetime.now(UTC))
    await shelf.publish(["two pumps"], version=2, flipped_at=datetime.now(UTC))
    equal(await shelf.index.sweep(), 0, "chunks swept", "running searches lose their passages")


async def sweep_finds_what_a_worker_before_it_left(shelf: Shelf) -> None:
    """Another worker's first sweep deletes what this one replaced and did not sweep."""
    await shelf.index.sweep()
    await shelf.publish(["one pump"])
    await shelf.publish(["two pumps"], version=2)
    async with shelf.second() as second:
        equal(await second.index.sweep(), 1, "chunks swept", "the garbage of a crashed worker stays for ever")


async def heads_lists_a_tenants_live_documents_by_id(shelf: Shelf) -> None:
    """The list is sorted, limited, and the tenant's own."""
    for name in ("b", "c", "a"):
        await shelf.publish(["text"], document_id=name)
    await shelf.publish(["text"], document_id="d", tenant=shelf.neighbour)
    listed = [entry.document_id for entry in await shelf.index.heads(shelf.tenant)]
    equal(listed, ["a", "b", "c"], "the tenant's documents", "`headwater documents list` is wrong")
    listed = [entry.document_id for entry in await shelf.index.heads(shelf.tenant, limit=2)]
    equal(listed, ["a", "b"], "its first two documents", "`headwater documents list` is wrong")


async def a_head_comes_back_as_it_was_given(shelf: Shelf) -> None:
    """To the microsecond."""
    live = await shelf.publish(["text"], flipped_at=datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC))
    equal(await shelf.index.head(shelf.tenant, HANDBOOK), live, "the head", "later versions are compared wrongly")


async def newest_tells_what_any_connection_has_flipped(shelf: Shelf) -> None:
    """The heads of documents by id, as another connection left them, deletions included, of one tenant alone."""
    older = "questions wait for ever for what was published, or do not see it"
    async with shelf.second() as second:
        await second.publish(["a pump"], document_id="pump")
        live = await second.publish(["two pumps"], document_id="pump", version=3)
        gone = await second.publish(["a valve"], document_id="valve")
        gone = replace(gone, version=2, rows_version=None)
        await second.index.flip(gone)
        await second.publish(["others' crane"], document_id="crane", tenant=shelf.neighbour)
    asked = {DocumentId(name): version for name, version in (("pump", 2), ("valve", 9), ("crane", 1), ("none", 1))}
    found = await shelf.index.newest(shelf.tenant, asked)
    equal(dict(found), {"pump": live, "valve": gone}, "the newest heads", older)
    equal(dict(await shelf.index.newest(shelf.tenant, {})), {}, "the newest heads of no document", older)


async def a_search_that_is_given_heads_shows_what_they_name(shelf: Shelf) -> None:
    """Of a document whose head is given, rows of that version come, even where the clock that flipped it is ahead."""
    await shelf.publish(["the old pump"])
    ahead = datetime.now(UTC) + timedelta(hours=1)
    await shelf.publish(["the new pump"], version=2, flipped_at=ahead)
    await shelf.publish(["another pump"], document_id="other")
    heads = tuple((await shelf.index.newest(shelf.tenant, {HANDBOOK: 2})).values())
    found = sorted(passage.text for passage in await shelf.find("pump", heads=heads))
    equal(found, ["another pump", "the new pump"], "what is found", "whoever published a version does not see it")


async def a_search_that_is_given_a_head_may_show_a_newer_one(shelf: Shelf) -> None:
    """A head that was read a while ago hides nothing that replaced it meanwhile, deletions included."""
    first = await shelf.publish(["one pump"])
    second = await shelf.publish(["two pumps"], version=2)
    found = [passage.text for passage in await shelf.find("pump", heads=(first,))]
    equal(found, ["two pumps"], "what is found with a replaced head", MIXTURE)
    await shelf.index.flip(replace(second, version=3, rows_version=None, flipped_at=datetime.now(UTC)))
    equal(list(await shelf.find("pump", heads=(second,))), [], "what is found after a deletion", MIXTURE)


async def two_workers_may_write_first_at_the_same_time(shelf: Shelf) -> None:
    """Two connections that create the collection at once end with one, and both find both documents."""
    async with shelf.second() as second:
        await asyncio.gather(
            shelf.publish(["pump a"], document_id="a"),
            second.publish(["pump b"], document_id="b"),
        )
        for one in (shelf, second):
            found = {passage.document_id for passage in await one.find("pump")}
            equal(found, {"a", "b"}, "what each of two first writers finds", "the first documents are lost")


async def vectors_are_those_of_the_live_version_and_the_same_model(shelf: Shelf) -> None:
    """Vectors come back by text hash, only from the live version, the same model and the same tenant."""
    [event] = shelf.slices(["one", "two"])
    hashes = [chunk.text_hash for chunk in event.chunks]
    slice_ = await embedded(event)
    await shelf.index.write(slice_)
    mixed = "a new version reuses vectors that are not its texts'"
    none = await shelf.index.vectors(shelf.tenant, HANDBOOK, hashes, model=slice_.model)
    equal(dict(none), {}, "vectors before the flip", mixed)
    await shelf.index.flip(head(event))
    found = await shelf.index.vectors(shelf.tenant, HANDBOOK, [*hashes, "ff"], model=slice_.model)
    equal(set(found), set(hashes), "the texts with a vector", "unchanged texts are embedded again")
    [one] = await HashedWords().embed(["one"], role="passage")
    apart = float(abs(found[hashes[0]] - one).max())
    holds(apart < 1e-5, f"a vector came back changed by {apart:.6f}", mixed)
    for tenant, model in ((shelf.tenant, "another"), (shelf.neighbour, slice_.model)):
        others = await shelf.index.vectors(tenant, HANDBOOK, hashes, model=model)
        equal(dict(others), {}, f"vectors of model {model!r} and another tenant or model", mixed)
