from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from processors.errors import NotYet, Poison
from processors.ports import Index
from processors.retrieve import Retrieve
from schemas import MAX_QUESTION_CHARS, PassagesRetrieved, QueryAsked
from tests.processors.happenings import asked
from tests.processors.hashed_words import HashedWords
from tests.processors.index_contract import publish

pytestmark = pytest.mark.stack


async def retrieve(index: Index, query: QueryAsked) -> PassagesRetrieved:
    [after] = await Retrieve(HashedWords(), index)(query)
    return after


async def test_a_question_finds_its_passages_best_first(index: Index) -> None:
    await publish(index, ["a blue valve", "a red pump"])
    query = asked("which pump is red?")
    after = await retrieve(index, query)
    assert after.query == query
    assert [passage.text for passage in after.passages] == ["a red pump", "a blue valve"]


async def test_no_documents_give_no_passages(index: Index) -> None:
    assert (await retrieve(index, asked("which pump?"))).passages == ()


async def test_a_question_may_consist_of_symbols_and_words_that_occur_nowhere(index: Index) -> None:
    await publish(index, ["a red pump"])
    for text in ("???", "\u0000", "ὕδωρ", "zzz", '"', "🪣" * 300):
        await retrieve(index, asked(text))


async def test_the_candidates_are_limited(index: Index) -> None:
    await publish(index, [f"pump {number}" for number in range(60)])
    after = await Retrieve(HashedWords(), index, candidates=7)(asked("pump"))
    assert len(after[0].passages) == 7


async def test_principals_and_filters_reach_the_search(index: Index) -> None:
    await publish(index, ["secret pump"], document_id="s", readers=("ann",), metadata={"team": "north"})
    assert (await retrieve(index, asked("pump"))).passages == ()
    assert len((await retrieve(index, asked("pump", principals=("ann",)))).passages) == 1
    other = asked("pump", principals=("ann",), filters={"team": "south"})
    assert (await retrieve(index, other)).passages == ()


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "empty-question"),
        (" \n\t", "empty-question"),
        ("x" * (MAX_QUESTION_CHARS + 1), "question-too-long"),
        ("word " * 20_000, "question-too-long"),
    ],
)
async def test_a_question_that_cannot_be_asked_is_poison(index: Index, text: str, code: str) -> None:
    embedder = HashedWords()
    with pytest.raises(Poison) as refused:
        await Retrieve(embedder, index)(asked(text))
    assert refused.value.code == code
    assert embedder.texts == []


async def test_a_question_of_the_greatest_length_is_answered(index: Index) -> None:
    await publish(index, ["a red pump"])
    after = await retrieve(index, asked(("pump " * MAX_QUESTION_CHARS)[:MAX_QUESTION_CHARS]))
    assert len(after.passages) == 1


async def test_versions_that_are_visible_are_searched(index: Index) -> None:
    await publish(index, ["an old pump"])
    await publish(index, ["a new pump"], version=4, flipped_at=datetime.now(UTC) + timedelta(hours=1))
    await publish(index, ["a valve"], document_id="other", version=9)
    for wanted in ({"handbook": 4}, {"handbook": 3, "other": 9}):
        after = await retrieve(index, asked("pump", min_versions=wanted))
        assert after.passages[0].text == "a new pump"


@pytest.mark.parametrize(
    ("wanted", "says"),
    [
        ({"handbook": 3}, "version 3 of 'handbook' is not visible, version 2 is"),
        ({"gone": 3}, "version 3 of 'gone' is not visible, version 2 is, a deletion"),
        ({"none": 1}, "version 1 of 'none' is not visible, no version of it is"),
        ({"handbook": 2, "none": 1, "gone": 7}, "version 1 of 'none' is not visible, no version of it is (and 1 more)"),
    ],
)
async def test_versions_that_are_not_visible_yet_cost_no_embedding(
    index: Index, wanted: dict[str, int], says: str
) -> None:
    await publish(index, ["a pump"], version=2)
    await publish(index, ["others' pump"], document_id="none", tenant="other")
    await index.flip(replace(await publish(index, ["x"], document_id="gone"), version=2, rows_version=None))
    embedder = HashedWords()
    with pytest.raises(NotYet) as missing:
        await Retrieve(embedder, index)(asked("pump", min_versions=wanted, wait_for_s=7.0))
    assert (missing.value.code, missing.value.reason, missing.value.wait_s) == ("not-visible", says, 7.0)
    assert embedder.texts == []


async def test_a_deletion_counts_as_a_version_that_is_visible(index: Index) -> None:
    live = await publish(index, ["a pump"])
    await index.flip(replace(live, version=2, rows_version=None))
    assert (await retrieve(index, asked("pump", min_versions={"handbook": 2}))).passages == ()
