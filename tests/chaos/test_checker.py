"""The checker finds what it is asked to find, and nothing else."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from tests.chaos.checker import Dump, Verdict, Visible, changed, check, repeats
from tests.chaos.ledger import Answered, Asked, Buried, Entry, Fault, Ledger, Published, Received, read
from tests.chaos.workload import Shape, Write, marks_in, planned, text_of


def published(version: int, *marks: str, document: str = "doc", poison: bool = False, sure: bool = True) -> Published:
    return Published(
        tenant="t",
        document=document,
        version=version,
        published_at=f"at {version}",
        marks=marks,
        poison=poison,
        acknowledged=sure,
    )


def received(event: Published, code: str = "") -> Received:
    return Received(
        tenant=event.tenant,
        document=event.document,
        version=event.version,
        published_at=event.published_at,
        outcome="rejected" if code else "indexed",
        code=code,
    )


def shown(version: int, *marks: str, ordinal: int = 0, document: str = "doc") -> Visible:
    return Visible(tenant="t", document=document, version=version, ordinal=ordinal, marks=marks)


def dump(*passages: Visible, heads: Mapping[str, int] | None = None) -> Dump:
    by_document = {("t", each.document): each.version for each in passages}
    return Dump(passages=passages, heads=by_document | {("t", name): at for name, at in (heads or {}).items()})


ONE, TWO, GONE = published(1, "a", "b"), published(2, "b", "c"), published(3)
UPDATED: tuple[Entry, ...] = (ONE, received(ONE), TWO, received(TWO), Asked(query="q"))
ANSWER = Answered(query="q", outcome="completed", event_id="1")
SEEN = dump(shown(2, "b"), shown(2, "c", ordinal=1))


def broken(entries: Iterable[Entry], seen: Dump = SEEN, *, redelivery: bool = True) -> dict[str, int]:
    """Which promises, and how often each."""
    verdict = check(tuple(entries), seen, redelivery=redelivery)
    return {name: count for name, count in verdict.counts.items() if count}


def test_a_run_in_which_everything_went_well_is_clean() -> None:
    assert check((*UPDATED, ANSWER), SEEN) == Verdict()
    assert check((*UPDATED, ANSWER), SEEN).clean


@pytest.mark.parametrize(
    ("seen", "finds"),
    [
        (dump(shown(2, "b")), {"lost": 1}),
        (dump(heads={"doc": 2}), {"lost": 2}),
        (dump(), {"lost": 3}),
        (dump(shown(2, "b", "c"), shown(2, "c", ordinal=1)), {"duplicated": 1}),
        (dump(shown(1, "a", "b"), shown(2, "b"), shown(2, "c", ordinal=1)), {"duplicated": 2, "stale": 1}),
        (dump(shown(1, "a", "b")), {"lost": 1, "stale": 2}),
        (dump(shown(2, "b", "c"), shown(1, "x", document="ghost")), {"stale": 2}),
        (dump(shown(2, "b", "c"), heads={"doc": 1}), {"stale": 1}),
    ],
)
def test_what_the_index_shows_is_compared_with_the_newest_version(seen: Dump, finds: dict[str, int]) -> None:
    assert broken((*UPDATED, ANSWER), seen) == finds


def test_a_deleted_document_must_not_be_found() -> None:
    entries = (*UPDATED, ANSWER, GONE, received(GONE))
    assert broken(entries, dump()) == {}
    assert broken(entries) == {"stale": 3}


def test_the_highest_version_counts_and_not_the_last_one_sent() -> None:
    late = (TWO, received(TWO), ONE, received(ONE, "superseded"))
    assert broken(late) == {}


def test_what_the_broker_did_not_acknowledge_may_be_there_or_not() -> None:
    entries = (*UPDATED, ANSWER, published(3, "d", sure=False))
    assert broken(entries) == {}
    assert broken(entries, dump(shown(3, "d"))) == {}
    assert broken(entries, dump(shown(3, "d"), shown(2, "b", ordinal=1))) != {}


def test_receipts_of_a_document_come_in_its_order_and_repetitions_may_go_back() -> None:
    assert broken((ONE, TWO, received(TWO), received(ONE))) == {"out_of_order": 1}
    assert broken((ONE, TWO, received(ONE), received(TWO), received(ONE), received(TWO))) == {}
    assert broken((ONE, TWO, received(ONE), received(TWO), received(ONE, "superseded"), received(TWO))) == {}


def test_an_event_without_receipt_and_a_question_without_answer_are_unanswered() -> None:
    assert broken((ONE, received(ONE), TWO, Asked(query="q"))) == {"unanswered": 2}
    assert broken((ONE, received(ONE), replace(TWO, acknowledged=False), Asked(query="q", acknowledged=False))) == {}


def test_an_answer_may_repeat_itself_only_where_records_are_delivered_again() -> None:
    twice = (*UPDATED, ANSWER, replace(ANSWER, event_id="2"))
    assert broken(twice) == {}
    assert broken(twice, redelivery=False) == {"answered_twice": 1}
    assert repeats(twice) == 1
    assert broken((*UPDATED, ANSWER, received(TWO)), redelivery=False) == {"answered_twice": 1}


def test_a_second_final_event_that_says_something_else_is_counted() -> None:
    assert changed((*UPDATED, ANSWER, ANSWER)) == 0
    assert changed((*UPDATED, ANSWER, replace(ANSWER, outcome="refused"))) == 1


def test_a_rejection_may_overtake_versions_that_are_under_way() -> None:
    bad = published(3, poison=True)
    assert broken((ONE, TWO, bad, received(bad, "empty-document"), received(ONE), received(TWO))) == {}


def test_only_poison_is_rejected_and_put_aside_and_it_changes_nothing() -> None:
    bad = published(3, poison=True)
    letter = Buried(topic="documents-dlq", key="t/doc", code="empty-document")
    assert broken((*UPDATED, ANSWER, bad, received(bad, "empty-document"), letter)) == {}
    assert broken((*UPDATED, ANSWER, bad, received(bad))) == {"unexpected": 1}
    assert broken((*UPDATED, ANSWER, letter)) == {"unexpected": 1}
    assert broken((ONE, received(ONE), TWO, received(TWO, "bug"), ANSWER)) == {"unexpected": 1}


def test_a_ledger_reads_as_it_was_written(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.jsonl")
    entries: list[Entry] = [
        ONE,
        received(ONE, "superseded"),
        Asked(query="q"),
        ANSWER,
        Buried(topic="documents-dlq", key="t/doc", code="bug"),
        Fault(what="kill -9", target="worker0", struck=True, evidence="1 in hand"),
    ]
    for entry in entries:
        ledger.note(entry)
    ledger.close()
    assert list(read(ledger.path)) == entries == ledger.entries


def test_a_plan_follows_from_its_seed_alone() -> None:
    shape = Shape(documents=5, events=60, questions=10, poison=0.1)
    steps = planned(shape, Random("1 7"))
    assert steps == planned(shape, Random("1 7"))
    assert steps != planned(shape, Random("1 8"))
    assert len(steps) == 70
    assert [step.at_s for step in steps] == sorted(step.at_s for step in steps)


def test_the_marks_of_a_text_are_those_it_was_made_of() -> None:
    steps = planned(Shape(), Random(1))
    writes = [step.what for step in steps if isinstance(step.what, Write)]
    assert all(marks_in(text_of(write.marks)) == write.marks for write in writes)
    assert any(not write.marks for write in writes)
