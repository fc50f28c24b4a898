"""Traces drawn from the local store."""

import json
from pathlib import Path

import pytest

from streams.settings import Settings
from streams.tracing import tracing
from tests.streams.cli.conftest import Run


@pytest.fixture
def traced(tmp_path: Path) -> None:
    with tracing(Settings(home=tmp_path / ".headwater"), "test") as tracer:
        for name in ("first", "last"):
            with tracer.start_as_current_span("ask", attributes={"headwater.query_id": f"query-{name}"}):
                tracer.start_span(f"{name} work").end()


def test_a_query_id_draws_its_trace_without_colour(run: Run, traced: None) -> None:
    result = run("trace", "query-first")
    assert result.exit_code == 0
    assert "first work" in result.output
    assert "\x1b" not in result.output
    assert max(map(len, result.output.splitlines())) <= 80


def test_last_draws_the_newest(run: Run, traced: None) -> None:
    assert "last work" in run("trace", "--last").output


def test_json_is_the_spans(run: Run, traced: None) -> None:
    spans = json.loads(run("trace", "query-l", "--json").output)["spans"]
    assert [span["name"] for span in spans] == ["ask", "last work"]
    assert spans[1]["parent_id"] == spans[0]["span_id"]


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["query-"], 2, "begins several"),
        (["unknown"], 1, "no trace of 'unknown'"),
        ([], 2, "or --last"),
        (["x", "--last"], 2, "or --last"),
    ],
)
def test_what_names_no_single_trace_is_said(run: Run, traced: None, arguments: list[str], code: int, says: str) -> None:
    result = run("trace", *arguments)
    assert result.exit_code == code
    assert says in result.output


def test_without_a_store_the_way_to_one_is_said(run: Run) -> None:
    result = run("trace", "--last")
    assert result.exit_code == 1
    assert "a first question make one" in result.output


def test_where_traces_go_elsewhere_that_place_is_named(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADWATER_OTLP_ENDPOINT", "http://collector:4318")
    assert "http://collector:4318" in run("trace", "--last").output
