"""What every Index must do, whatever stores it.

Each check works on a tenant of its own and deletes what it wrote, so the suite may share a collection, of the model
`hashed-words`, with itself. It creates that collection and does not drop it.
"""

from dataclasses import replace
from functools import partial

from processors.conformance import Check, equal, holds, raises
from processors.conformance import index_search as search
from processors.conformance import index_versions as versions
from processors.conformance.documents import HashedWords, embedded
from processors.conformance.shelf import HANDBOOK, Connected, Shelf, on_a_shelf
from processors.errors import Poison
from processors.ports import Search, Stored

__all__ = ["CHECKS", "Connected"]


async def before_anything_is_written_nothing_is_found(shelf: Shelf) -> None:
    """Reads of a tenant without documents give nothing and fail nowhere."""
    index, tenant = shelf.index, shelf.tenant
    [event] = shelf.slices(["a pump"])
    fails = "the first question or document fails"
    equal(list(await shelf.find("pump")), [], "what is found", fails)
    equal(await index.head(tenant, HANDBOOK), None, "the head", fails)
    equal(list(await index.heads(tenant)), [], "the documents", fails)
    equal(list(await index.chunks(tenant, HANDBOOK)), [], "the chunks", fails)
    equal(dict(await index.vectors(tenant, HANDBOOK, ["00"], model="hashed-words")), {}, "the vectors", fails)
    equal(await index.count(event.document), Stored(0, 0), "the count", fails)
    equal(sum((await index.erase(tenant, HANDBOOK, up_to_version=9)).values()), 0, "the rows erased", fails)
    model = await index.model()
    known = model in (None, HashedWords().model)
    holds(known, f"the model: expected none or 'hashed-words', got {model!r}", "the collection holds other vectors")


async def the_model_of_what_is_stored_is_known_to_every_connection(shelf: Shelf) -> None:
    """The fingerprint of the first write is there for whoever connects later."""
    await shelf.publish(["a pump"])
    async with shelf.second() as second:
        for index in (shelf.index, second.index):
            equal(await index.model(), HashedWords().model, "the model", "vectors of two models mix unnoticed")


async def writing_a_slice_twice_stores_it_once(shelf: Shelf) -> None:
    """A redelivered slice changes nothing."""
    [event] = shelf.slices(["one", "two", "three"])
    for _ in range(2):
        await shelf.write(event)
    equal(await shelf.index.count(event.document), Stored(3, 3), "the count", "redelivery doubles passages")


async def an_ordinal_that_occurs_twice_in_a_slice_is_stored_once(shelf: Shelf) -> None:
    """A key that occurs twice in one write is no error."""
    [event] = shelf.slices(["one", "two"])
    await shelf.index.write(await embedded(replace(event, chunks=(event.chunks[0], event.chunks[0]))))
    equal((await shelf.index.count(event.document)).chunks, 1, "the count", "redelivery doubles passages")


async def the_count_tells_computed_vectors_from_reused_ones(shelf: Shelf) -> None:
    """Of three chunks in two slices, the one that was embedded for this version counts as such."""
    for number, event in enumerate(shelf.slices(["one", "two", "three"], per_slice=2)):
        await shelf.index.write(replace(await embedded(event), embedded=number))
    equal(await shelf.index.count(event.document), Stored(3, 1), "the count", "receipts tell wrong costs")


async def another_model_is_refused_by_name(shelf: Shelf) -> None:
    """Vectors of another model or width are refused with code `model-mismatch`, and both models named."""
    await shelf.publish(["a pump"])
    mixed = "vectors that cannot be compared share a collection"
    async with shelf.second() as second:
        [event] = second.slices(["a valve"], version=2)
        writing = partial(second.index.write, await embedded(event, HashedWords(model="newer")))
        error = await raises(Poison, writing(), "writing another model's vectors", mixed)
        equal(error.code, "model-mismatch", "the code for another model", mixed)
        for part in ("'newer'", "'hashed-words'", "ingest again"):
            holds(part in error.detail, f"expected {part} in {error.detail!r}", "nobody knows what to do")
        wide = HashedWords(dimensions=128)
        [vector] = await wide.embed(["pump"], role="query")
        asked = Search(tenant=shelf.tenant, text="pump", vector=vector, model=wide.model, limit=3)
        error = await raises(Poison, second.index.search(asked), "searching with a wider vector", mixed)
        equal(error.code, "model-mismatch", "the code for a wider vector", mixed)


async def it_says_that_it_works(shelf: Shelf) -> None:
    """There is one line about the service."""
    holds(await shelf.index.check(), "the line about the service is empty", "`headwater doctor` has nothing to say")


CHECKS: tuple[Check[Connected], ...] = tuple(
    map(
        on_a_shelf,
        (
            before_anything_is_written_nothing_is_found,
            versions.two_workers_may_write_first_at_the_same_time,
            it_says_that_it_works,
            versions.chunks_are_invisible_until_the_head_names_their_version,
            search.a_passage_says_where_it_stands_and_how_it_scored,
            search.passages_come_best_first_and_at_most_as_many_as_asked_for,
            writing_a_slice_twice_stores_it_once,
            an_ordinal_that_occurs_twice_in_a_slice_is_stored_once,
            the_count_tells_computed_vectors_from_reused_ones,
            versions.a_new_version_replaces_the_old_one,
            versions.a_version_that_changed_nothing_keeps_its_rows,
            versions.readers_see_exactly_one_version_while_a_document_changes,
            versions.a_late_writer_of_an_older_version_changes_nothing,
            versions.what_an_abandoned_writer_left_under_the_same_version_stays_hidden,
            versions.a_deleted_document_is_invisible_at_once_and_for_late_older_versions,
            versions.an_erasure_removes_what_was_under_way_and_keeps_what_came_after,
            versions.an_erasure_never_removes_what_is_live,
            versions.rows_that_a_newer_head_replaced_cannot_be_made_live_again,
            versions.newest_tells_what_any_connection_has_flipped,
            versions.a_search_that_is_given_heads_shows_what_they_name,
            versions.a_search_that_is_given_a_head_may_show_a_newer_one,
            versions.heads_lists_a_tenants_live_documents_by_id,
            versions.a_head_comes_back_as_it_was_given,
            search.a_tenant_never_sees_anothers_documents,
            search.a_document_with_readers_is_found_only_by_one_of_them,
            search.filters_select_by_metadata,
            search.dropped_hits_do_not_cost_recall,
            versions.vectors_are_those_of_the_live_version_and_the_same_model,
            the_model_of_what_is_stored_is_known_to_every_connection,
            another_model_is_refused_by_name,
            versions.sweep_deletes_what_no_reader_can_see,
            versions.sweep_leaves_what_a_running_search_may_still_need,
            versions.sweep_finds_what_a_worker_before_it_left,
        ),
    )
)
