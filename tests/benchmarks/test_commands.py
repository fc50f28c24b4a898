"""Every benchmark is a command of its own that explains itself."""

from importlib import import_module

import pytest
import typer
from typer.testing import CliRunner

from benchmarks.report import ORDER


@pytest.mark.parametrize("name", ORDER)
def test_benchmark_says_what_it_measures_and_how_to_bound_it(name: str) -> None:
    app = typer.Typer()
    app.command()(import_module(f"benchmarks.{name}").main)
    outcome = CliRunner().invoke(app, ["--help"], env={"NO_COLOR": "1", "TERM": "dumb"})
    assert outcome.exit_code == 0
    assert "--cores" in outcome.output
    assert "--results" in outcome.output
