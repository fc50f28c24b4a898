"""The report shows what was measured, and says so where a target is missed."""

from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from benchmarks.report import main, render
from benchmarks.results import Circumstances, Figure, Result, Target, load, percentile, save

HERE = Circumstances(commit="abc", machine="m", python="3.11", versions={"x": "1"}, started="now", load=0.1)


def result(*figures: Figure, name: str = "latency") -> Result:
    return Result(benchmark=name, method="How.", figures=figures, where=HERE)


def figure(*samples: float, target: Target | None) -> Figure:
    return Figure(name="event to searchable, p50", unit="ms", samples=samples, target=target)


def test_median_and_range_of_the_repeats_are_shown() -> None:
    page = render([result(figure(70, 50, 51, target=Target(at="most", value=60)))])
    assert "| at most 60 ms | 51 ms | 50 - 70 | 3 | met |" in page
    assert "1 of 1 targets met" in page


def test_missed_target_is_named_in_the_summary_and_in_its_row() -> None:
    page = render([result(figure(61, 75, 80, target=Target(at="most", value=60)))])
    assert "0 of 1 targets met" in page
    assert "- missed: event to searchable, p50: 75 ms, target at most 60 ms" in page
    assert "**missed**" in page


def test_figure_without_a_target_is_neither_met_nor_missed() -> None:
    page = render([result(figure(5, target=None))])
    assert "0 of 0 targets met" in page
    assert "missed" not in page.partition("A figure that misses")[2]


def test_benchmark_that_did_not_run_is_named() -> None:
    assert "Not measured in this run: `ingest_ratio`" in render([result()])


def test_result_survives_the_disk(tmp_path: Path) -> None:
    before = result(figure(1, 2, 3, target=Target(at="least", value=0.85)))
    assert load(save(before, tmp_path)) == before


def test_report_without_results_says_what_to_run(tmp_path: Path) -> None:

    app = typer.Typer()
    app.command()(main)
    outcome = CliRunner().invoke(app, ["--results", str(tmp_path)])
    assert outcome.exit_code == 1
    assert "make bench" in outcome.output


@pytest.mark.parametrize(("percent", "expected"), [(0, 1), (50, 2), (95, 4), (100, 4)])
def test_percentile_is_one_of_the_values(percent: int, expected: int) -> None:
    assert percentile([4, 1, 3, 2], percent) == expected
