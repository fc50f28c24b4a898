"""What every Index must do. A backend's tests inherit this and provide `index` and `another`."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from processors.errors import Poison, Transient
from processors.ports import Head, Index, Search, Stored
from schemas import DocumentId, Passage, Scalar, Tenant
from tests.processors.happenings import ACME, NOON, embedded, head, slices
from tests.processors.hashed_words import HashedWords

HANDBOOK = DocumentId("handbook")


async def publish(index: Index, texts: Sequence[str], *, flipped_at: datetime = NOON, **about: Any) -> Head:
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
    tenant: str = ACME,
    limit: int = 10,
    principals: tuple[str, ...] = (),
    filters: dict[str, Scalar | tuple[Scalar, ...]] | None = None,
) -> Sequence[Passage]:
    words = HashedWords()
    [vector] = await words.embed([text], role="query")
    return await index.search(
        Search(
            tenant=Tenant(tenant),
            text=text,
            vector=vector,
            model=words.model,
            limit=limit,
            principals=principals,
            filters=filters or {},
        )
    )


def versions(passages: Sequence[Passage]) -> set[int]:
    return {passage.version for passage in passages}


class IndexContract:
    """Behaviour that does not depend on the backend."""

    async def test_before_anything_is_written_nothing_is_found(self, index: Index) -> None:
        [event] = slices(["a pump"])
        assert await find(index, "pump") == []
        assert await index.head(ACME, HANDBOOK) is None
        assert await index.heads(ACME) == []
        assert await index.chunks(ACME, HANDBOOK) == []
        assert await index.vectors(ACME, HANDBOOK, ["00"], model="hashed-words") == {}
        assert await index.count(event.document) == Stored(0, 0)
        assert set((await index.erase(ACME, HANDBOOK, up_to_version=9)).values()) == {0}
        assert await index.sweep() == 0
        assert await index.model() is None

    async def test_the_model_of_what_is_stored_is_known_to_every_connection(
        self, index: Index, another: Callable[[], Index]
    ) -> None:
        await publish(index, ["a pump"])
        other = another()
        await other.open()
        assert await index.model() == await other.model() == "hashed-words"
        await other.close()

    async def test_chunks_are_invisible_until_the_head_names_their_version(self, index: Index) -> None:
        [event] = slices(["a red pump", "a blue valve"])
        await index.write(await embedded(event))
        assert await find(index, "pump") == []
        await index.flip(head(event))
        assert [passage.text for passage in await find(index, "pump")] == ["a red pump", "a blue valve"]

    async def test_a_passage_says_where_it_stands_and_how_it_scored(self, index: Index) -> None:
        await publish(index, ["a blue valve", "a red pump"], metadata={"team": "north", "level": 2})
        first = (await find(index, "which pump"))[0]
        assert (first.document_id, first.version, first.ordinal) == (HANDBOOK, 1, 1)
        assert (first.text, first.title) == ("a red pump", "Handbook")
        assert (first.page, first.section, first.start, first.end) == (2, ("Manual", "Part"), 100, 110)
        assert first.metadata == {"team": "north", "level": 2}
        [question, passage] = await HashedWords().embed(["which pump", "a red pump"], role="query")
        assert first.scores["dense"] == pytest.approx(float(question @ passage), abs=1e-4)
        assert first.scores["bm25"] > 0
        assert set(first.scores) == {"dense", "bm25", "fused"}

    async def test_passages_come_best_first_and_at_most_as_many_as_asked_for(self, index: Index) -> None:
        await publish(index, [f"pump number {n}" for n in range(30)])
        passages = await find(index, "pump number 7", limit=5)
        assert len(passages) == 5
        assert passages[0].text == "pump number 7"
        fused = [passage.scores["fused"] for passage in passages]
        assert fused == sorted(fused, reverse=True)

    async def test_writing_a_slice_twice_stores_it_once(self, index: Index) -> None:
        [event] = slices(["one", "two", "three"])
        for _ in range(2):
            await index.write(await embedded(event))
        assert await index.count(event.document) == Stored(3, 3)

    async def test_an_ordinal_that_occurs_twice_in_a_slice_is_stored_once(self, index: Index) -> None:
        [event] = slices(["one", "two"])
        again = await embedded(replace(event, chunks=(event.chunks[0], event.chunks[0])))
        await index.write(again)
        assert (await index.count(event.document)).chunks == 1

    async def test_the_count_tells_computed_vectors_from_reused_ones(self, index: Index) -> None:
        for number, event in enumerate(slices(["one", "two", "three"], per_slice=2)):
            await index.write(replace(await embedded(event), embedded=number))
        assert await index.count(event.document) == Stored(3, 1)

    async def test_a_new_version_replaces_the_old_one(self, index: Index) -> None:
        await publish(index, ["the old pump", "a valve"])
        await publish(index, ["the new pump"], version=2)
        assert [passage.text for passage in await find(index, "pump valve")] == ["the new pump"]
        assert [chunk.text for chunk in await index.chunks(ACME, HANDBOOK)] == ["the new pump"]

    async def test_a_version_that_changed_nothing_keeps_its_rows(self, index: Index) -> None:
        live = await publish(index, ["the pump"])
        await index.flip(replace(live, version=2, previous_rows_version=1))
        assert versions(await find(index, "pump")) == {1}
        assert [chunk.text for chunk in await index.chunks(ACME, HANDBOOK)] == ["the pump"]

    async def test_readers_see_exactly_one_version_while_a_document_changes(self, index: Index) -> None:
        await publish(index, ["pump one", "pump two"], flipped_at=datetime.now(UTC))
        done = asyncio.Event()
        seen: list[set[int]] = []

        async def read() -> None:
            while not done.is_set():
                seen.append(versions(await find(index, "pump")))

        reading = asyncio.create_task(read())
        for version in range(2, 12):
            for event in slices([f"pump one {version}", f"pump two {version}"], version=version, per_slice=1):
                await index.write(await embedded(event))
            await index.flip(head(event, flipped_at=datetime.now(UTC)))
        done.set()
        await reading
        assert {len(found) for found in seen} == {1}
        assert versions(await find(index, "pump")) == {11}

    async def test_a_late_writer_of_an_older_version_changes_nothing(self, index: Index) -> None:
        await publish(index, ["the newest pump"], version=3)
        await publish(index, ["the older pump"], version=2)
        newest = await index.head(ACME, HANDBOOK)
        assert newest is not None
        assert newest.version == 3
        assert [passage.text for passage in await find(index, "pump")] == ["the newest pump"]

    async def test_what_an_abandoned_writer_left_under_the_same_version_stays_hidden(self, index: Index) -> None:
        [abandoned] = slices(["one old pump", "two old pumps", "three old pumps"], version=2)
        await index.write(await embedded(abandoned))
        await publish(index, ["one new pump"], version=2)
        assert [passage.text for passage in await find(index, "pump")] == ["one new pump"]
        assert len(await index.chunks(ACME, HANDBOOK)) == 1

    async def test_a_deleted_document_is_invisible_at_once_and_for_late_older_versions(self, index: Index) -> None:
        live = await publish(index, ["a pump", "a valve"])
        await index.flip(replace(live, version=2, rows_version=None, flipped_at=datetime.now(UTC)))
        assert await find(index, "pump") == []
        assert sum((await index.erase(ACME, HANDBOOK, up_to_version=2)).values()) == 2
        assert sum((await index.erase(ACME, HANDBOOK, up_to_version=2)).values()) == 0
        await publish(index, ["a pump", "a valve"], version=1)
        assert await find(index, "pump") == []
        assert await index.heads(ACME) == []
        assert await index.chunks(ACME, HANDBOOK) == []

    async def test_heads_lists_a_tenants_live_documents_by_id(self, index: Index) -> None:
        for name in ("b", "c", "a"):
            await publish(index, ["text"], document_id=name)
        await publish(index, ["text"], document_id="d", tenant="globex")
        assert [entry.document_id for entry in await index.heads(ACME)] == ["a", "b", "c"]
        assert [entry.document_id for entry in await index.heads(ACME, limit=2)] == ["a", "b"]

    async def test_a_head_comes_back_as_it_was_given(self, index: Index) -> None:
        live = await publish(index, ["text"], flipped_at=datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC))
        assert await index.head(ACME, HANDBOOK) == live

    async def test_a_tenant_never_sees_anothers_documents(self, index: Index) -> None:
        await publish(index, ["the pump of acme"])
        await publish(index, ["the pump of globex"], tenant="globex")
        assert [passage.text for passage in await find(index, "pump")] == ["the pump of acme"]
        assert [passage.text for passage in await find(index, "pump", tenant="globex")] == ["the pump of globex"]
        assert await find(index, "pump", tenant="initech") == []

    async def test_a_document_with_readers_is_found_only_by_one_of_them(self, index: Index) -> None:
        await publish(index, ["the public pump"], document_id="public")
        await publish(index, ["the secret pump"], document_id="secret", readers=("ann", "group:ops"))

        async def seen(*principals: str) -> set[str]:
            return {passage.document_id for passage in await find(index, "pump", principals=principals)}

        assert await seen() == {"public"}
        assert await seen("bob", "group:sales") == {"public"}
        assert await seen("ann") == await seen("bob", "group:ops") == {"public", "secret"}
        assert await seen("%", "_", "", "an", "ann|group:ops", "group:op_") == {"public"}

    async def test_filters_select_by_metadata(self, index: Index) -> None:
        await publish(index, ["pump a"], document_id="a", metadata={"team": "north", "level": 2})
        await publish(index, ["pump b"], document_id="b", metadata={"team": "south", "level": 2.5})
        await publish(index, ["pump c"], document_id="c", metadata={"team": "north", "level": "2", "draft": True})

        async def seen(**filters: Scalar | tuple[Scalar, ...]) -> set[str]:
            return {passage.document_id for passage in await find(index, "pump", filters=filters)}

        assert await seen(team="north") == {"a", "c"}
        assert await seen(team=("north", "south")) == {"a", "b", "c"}
        assert await seen(team="north", level=2) == {"a"}
        assert await seen(level=2.0) == {"a"}
        assert await seen(level=(2.5, "2")) == {"b", "c"}
        assert await seen(draft=True) == {"c"}
        assert await seen(draft=1) == await seen(team=()) == await seen(nosuch="north") == set()

    async def test_dropped_hits_do_not_cost_recall(self, index: Index) -> None:
        for version in range(1, 40):
            await publish(index, ["pump"], document_id="busy", version=version)
        for number in range(12):
            await publish(index, [f"pump and much other text {number}"], document_id=f"calm-{number}")
        passages = await find(index, "pump", limit=10)
        assert len(passages) == 10
        assert len({passage.document_id for passage in passages}) == 10

    async def test_vectors_are_those_of_the_live_version_and_the_same_model(self, index: Index) -> None:
        [event] = slices(["one", "two"])
        hashes = [chunk.text_hash for chunk in event.chunks]
        await index.write(await embedded(event))
        assert await index.vectors(ACME, HANDBOOK, hashes, model="hashed-words") == {}
        await index.flip(head(event))
        found = await index.vectors(ACME, HANDBOOK, [*hashes, "ff"], model="hashed-words")
        assert set(found) == set(hashes)
        [one] = await HashedWords().embed(["one"], role="passage")
        assert found[hashes[0]] == pytest.approx(one)
        assert await index.vectors(ACME, HANDBOOK, hashes, model="another") == {}
        assert await index.vectors(Tenant("globex"), HANDBOOK, hashes, model="hashed-words") == {}

    async def test_another_model_is_refused_by_name(self, index: Index, another: Callable[[], Index]) -> None:
        await publish(index, ["a pump"])
        other = another()
        await other.open()
        [event] = slices(["a valve"], version=2)
        with pytest.raises(Poison, match=r"model-mismatch.*'newer'.*'hashed-words'") as refused:
            await other.write(await embedded(event, HashedWords(model="newer")))
        assert "ingest again" in refused.value.detail
        wide = HashedWords(dimensions=128)
        [vector] = await wide.embed(["pump"], role="query")
        with pytest.raises(Poison, match="model-mismatch"):
            await other.search(Search(tenant=ACME, text="pump", vector=vector, model=wide.model, limit=3))
        await other.close()

    async def test_two_workers_may_write_first_at_the_same_time(
        self, index: Index, another: Callable[[], Index]
    ) -> None:
        other = another()
        await other.open()
        await asyncio.gather(
            publish(index, ["pump a"], document_id="a"),
            publish(other, ["pump b"], document_id="b"),
        )
        for one in (index, other):
            assert {passage.document_id for passage in await find(one, "pump")} == {"a", "b"}
        await other.close()

    async def test_sweep_deletes_what_no_reader_can_see(self, index: Index) -> None:
        await publish(index, ["one pump", "two pumps"])
        await publish(index, ["three pumps"], version=2)
        await publish(index, ["a valve"], document_id="other")
        [unfinished] = slices(["four pumps"], version=3)
        await index.write(await embedded(unfinished))
        assert await index.sweep() == 2
        assert await index.sweep() == 0
        assert {passage.text for passage in await find(index, "pumps")} == {"three pumps", "a valve"}
        await index.flip(head(unfinished))
        assert [chunk.text for chunk in await index.chunks(ACME, HANDBOOK)] == ["four pumps"]

    async def test_sweep_leaves_what_a_running_search_may_still_need(self, index: Index) -> None:
        await publish(index, ["one pump"], flipped_at=datetime.now(UTC))
        await publish(index, ["two pumps"], version=2, flipped_at=datetime.now(UTC))
        assert await index.sweep() == 0

    async def test_sweep_finds_what_a_worker_before_it_left(self, index: Index, another: Callable[[], Index]) -> None:
        await publish(index, ["one pump"])
        await publish(index, ["two pumps"], version=2)
        other = another()
        await other.open()
        assert await other.sweep() == 1
        await other.close()

    async def test_rows_that_a_newer_head_replaced_cannot_be_made_live_again(self, index: Index) -> None:
        first = await publish(index, ["one pump"])
        await publish(index, ["two pumps"], version=2)
        with pytest.raises(Transient, match="moved the head of 'handbook' to version 2"):
            await index.flip(replace(first, version=3, previous_rows_version=1))
        assert [passage.text for passage in await find(index, "pump")] == ["two pumps"]
