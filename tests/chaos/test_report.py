"""The report says what was found, and nothing better."""

import math
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.results import Circumstances
from tests.chaos.checker import Verdict
from tests.chaos.plot import draw
from tests.chaos.report import Report, Row, page, rows
from tests.chaos.scenario import Figure, Outcome

HERE = Circumstances(commit="abc", machine="a machine", python="3.11", versions={}, started="2026-01-01", load=0.0)
GOOD = Outcome(
    scenario="kill -9",
    number=1,
    seed=1,
    engine="faust",
    verdict=Verdict(),
    faults=2,
    events=120,
    questions=20,
    repeats=3,
    changed=1,
    took_s=10.0,
    figures={"time": Figure(value=1.2, unit="times", at_most=1.5)},
    story="all is well",
)
BAD = replace(GOOD, seed=2, verdict=Verdict(lost=("t/doc: mark1",)), story="something is lost")
IDLE = replace(GOOD, seed=3, faults=0)


def test_a_clean_run_passes_and_is_noted(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    Report(path).judge(GOOD)
    [row] = rows(path)
    assert row.outcome == GOOD


def test_a_broken_promise_fails_the_test_after_it_was_noted(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    with pytest.raises(AssertionError, match="something is lost"):
        Report(path).judge(BAD)
    assert [row.outcome for row in rows(path)] == [BAD]


def test_a_run_in_which_nothing_struck_does_not_count() -> None:
    with pytest.raises(AssertionError, match="did not count"):
        Report(None).judge(IDLE)


@pytest.mark.parametrize("value", [0.1, math.nan])
def test_a_figure_that_does_not_hold_fails_a_brief_run_and_is_told_by_the_report_of_a_long_one(
    value: float, tmp_path: Path
) -> None:
    missed = replace(GOOD, figures={"empty answers": Figure(value=value, unit="answers", at_most=0)})
    with pytest.raises(AssertionError, match="empty answers"):
        Report(None).judge(missed)
    Report(tmp_path / "results.jsonl").judge(missed)
    assert "| **no** |" in page([Row(missed, HERE)])


def test_of_a_run_that_was_repeated_the_last_one_counts(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    Report(path).judge(GOOD)
    Report(path).judge(replace(GOOD, events=7))
    assert [row.outcome.events for row in rows(path)] == [7]


def test_the_page_counts_what_struck_and_tells_what_is_broken() -> None:
    text = page([Row(outcome, HERE) for outcome in (GOOD, BAD, IDLE)])
    assert "| 1. kill -9 | faust | 2 | 4 | 240 | 40 | 1 | 0 |" in text
    assert "lost: t/doc: mark1" in text
    assert "Of the scenarios, 2, 3, 4" in text
    assert "not counted: kill -9 faust 3" in text
    assert "Commit abc" in text


@pytest.mark.parametrize(("worst", "verdict"), [(1.4, "yes"), (1.6, "**no**")])
def test_a_figure_holds_if_the_worst_run_holds(worst: float, verdict: str) -> None:
    slow = replace(GOOD, seed=2, figures={"time": Figure(value=worst, unit="times", at_most=1.5)})
    assert f"| 1.5 times | {verdict} |" in page([Row(outcome, HERE) for outcome in (GOOD, slow)])


def test_the_plot_has_a_dot_per_run() -> None:
    drawn = draw({"one": [1.0, 2.0], "two": [3.0]})
    assert drawn.count('class="run"') == 3
