"""Seeds and engines as parameters: few of them in `make test`, as many as asked for in `make chaos`."""

from collections.abc import Sequence
from itertools import product
from typing import get_args

import pytest
from _pytest.mark.structures import ParameterSet

from streams.settings import Settings
from tests.chaos.report import RESULTS, Report

ENGINES: tuple[str, ...] = get_args(Settings.model_fields["engine"].annotation)
LONG = (pytest.mark.chaos, pytest.mark.timeout(600))


@pytest.fixture(scope="session")
def report(pytestconfig: pytest.Config) -> Report:
    """Judges outcomes; what the long form finds goes into the results that docs/reliability.md is written from."""
    return Report(RESULTS if pytestconfig.getoption("seeds") else None)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test that takes `seed` runs briefly by default, and `--seeds` times under `chaos`; each time per `engine`.

    Its module may say what is brief: `QUICK_SEEDS = (1, 2)` and `QUICK_ENGINES`.
    """
    names = [name for name in ("seed", "engine") if name in metafunc.fixturenames]
    engines = ENGINES if "engine" in names else ("",)
    if names == ["engine"]:
        metafunc.parametrize("engine", engines)
    elif names:
        first, count = metafunc.config.getoption("first_seed"), metafunc.config.getoption("seeds")
        few = getattr(metafunc.module, "QUICK_ENGINES", engines) if "engine" in names else engines
        brief = product(getattr(metafunc.module, "QUICK_SEEDS", (1,)), few)
        cases = [_case(names, seed, engine, "quick") for seed, engine in brief]
        cases += [_case(names, *each, "seed", *LONG) for each in product(range(first, first + count), engines)]
        metafunc.parametrize(names, cases)


def _case(names: Sequence[str], seed: int, engine: str, form: str, *marks: pytest.MarkDecorator) -> ParameterSet:
    values = {"seed": seed, "engine": engine}
    name = "-".join(filter(None, (engine, f"{form}{seed}")))
    return pytest.param(*(values[each] for each in names), id=name, marks=marks)
