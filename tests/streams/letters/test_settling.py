"""Which letters are open, which are meant, and what is deleted when some are dropped."""

from collections.abc import Sequence

import orjson

from processors.errors import Poison
from schemas import ChunksExtracted, DocumentPublished
from streams.letters.letter import Place
from streams.letters.selection import Selection
from streams.letters.settled import marks
from streams.runtime.records import Record
from streams.topics import LETTERS_SETTLED
from tests.streams.letters.desk import EVERYTHING, Desk
from tests.streams.runtime.wiring import PREFIX, document, ingest


async def refuse(event: DocumentPublished) -> Sequence[ChunksExtracted]:
    raise Poison("odd" if event.version % 2 else "even", f"version {event.version}")


async def letters(count: int = 6) -> Desk:
    """Letters of the versions 0, 1, 2... of one document, codes in turn."""
    desk = Desk(ingest(chunk=refuse), "chunk|embed|upsert")
    await desk.bench.publish(*(document(version=version + 1) for version in range(count)))
    await desk.bench.engine.run()
    return desk


def ids(desk: Desk, *positions: int) -> frozenset[Place]:
    return frozenset(desk.box().open[position].id for position in positions)


async def test_several_values_of_one_kind_are_alternatives_and_several_kinds_must_all_fit() -> None:
    desk = await letters()

    def picked(selection: Selection) -> int:
        return len(desk.box(selection).open)

    assert picked(EVERYTHING) == picked(Selection(codes=frozenset({"odd", "even"}))) == 6
    assert picked(Selection(codes=frozenset({"odd"}))) == 3
    assert picked(Selection(codes=frozenset({"odd"}), stages=frozenset({"chunk"}))) == 3
    assert picked(Selection(codes=frozenset({"odd"}), stages=frozenset({"embed"}))) == 0
    assert picked(Selection(documents=frozenset({"t/d1", "t/d2"}))) == 6
    assert picked(Selection(documents=frozenset({"t/d2"}))) == 0
    assert picked(Selection(ids=ids(desk, 0, 3))) == 2


async def test_no_ids_at_all_mean_no_letter() -> None:
    desk = await letters()
    assert desk.box(Selection(ids=frozenset())).open == []


async def test_an_id_at_which_nothing_lies_is_missing() -> None:
    desk = await letters()
    nowhere = Place("documents-dlq", 0, 99)
    selection = Selection(ids=ids(desk, 0) | {nowhere})
    assert desk.box(selection).missing(selection) == [nowhere]
    assert desk.box(EVERYTHING).missing(EVERYTHING) == []


async def test_dropped_letters_are_deleted_up_to_the_first_open_one() -> None:
    desk = await letters()
    assert await desk.drop(Selection(ids=ids(desk, 0, 1, 3))) == 2
    assert [mark.how for _, mark in desk.box().settled] == ["dropped"]
    assert len(desk.box().open) == 3
    assert await desk.drop(Selection(ids=ids(desk, 0))) == 2
    assert await desk.drop(EVERYTHING) == 2
    assert not [*desk.box().open, *desk.box().settled]


async def test_a_replayed_letter_is_deleted_with_the_dropped_ones_before_it() -> None:
    desk = await letters()
    await desk.replay(Selection(ids=ids(desk, 0)))
    assert await desk.drop(Selection(ids=ids(desk, 0))) == 2


async def test_a_dropped_letter_is_not_replayed() -> None:
    desk = await letters()
    await desk.drop(Selection(codes=frozenset({"even"})))
    await desk.replay()
    assert len(desk.bench.broker.records(f"{PREFIX}documents")) == 6 + 3


async def test_a_topic_made_anew_does_not_inherit_marks() -> None:
    desk = await letters()
    await desk.replay()
    for log in desk.bench.broker.logs[f"{PREFIX}documents-dlq"]:
        log.clear()
    desk.bench.clock.slept.append(60.0)
    await desk.bench.publish(document(version=99))
    await desk.bench.engine.run()
    assert desk.box(EVERYTHING).settled == []
    assert len(desk.box().open) == 1 + 6  # and the six that were replayed


def test_what_is_no_mark_is_passed_over_and_the_last_one_counts() -> None:
    good = {"how": "dropped", "at": "2026-01-01", "written_ms": 7}
    told: list[tuple[bytes | None, bytes | None]] = [
        (b"documents-dlq/0/1", orjson.dumps({**good, "how": "replayed"})),
        (b"documents-dlq/0/1", orjson.dumps(good)),
        (b"documents-dlq/0/2", orjson.dumps({**good, "how": "eaten"})),
        (b"documents-dlq/0/3", orjson.dumps({**good, "written_ms": "7"})),
        (b"documents-dlq/0/4", b"{"),
        (b"documents-dlq/0/5", None),
        (None, orjson.dumps(good)),
        (b"\xff", orjson.dumps(good)),
    ]
    records = [
        Record(topic=LETTERS_SETTLED, partition=0, offset=0, key=key, value=value, headers=(), timestamp_ms=0)
        for key, value in told
    ]
    found = marks(records)
    assert list(found) == [Place("documents-dlq", 0, 1)]
    assert found[Place("documents-dlq", 0, 1)].how == "dropped"
