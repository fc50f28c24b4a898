"""Seeds and engines as parameters: few of them in `make test`, as many as asked for in `make chaos`."""

from typing import get_args

import pytest

from streams.settings import Settings
from tests.chaos.report import RESULTS, Report

ENGINES: tuple[str, ...] = get_args(Settings.model_fields["engine"].annotation)


@pytest.fixture(scope="session")
def report(pytestconfig: pytest.Config) -> Report:
    """Judges outcomes; what the long form finds goes into the results that docs/reliability.md is written from."""
    return Report(RESULTS if pytestconfig.getoption("seeds") else None)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test that takes `seed` runs with its quick seeds by default, and with `--seeds` of them under `chaos`.

    Its module may name them: `QUICK_SEEDS = (1, 2)`; none: it has a long form only.
    """
    if "engine" in metafunc.fixturenames:
        metafunc.parametrize("engine", ENGINES)
    if "seed" in metafunc.fixturenames:
        first, count = metafunc.config.getoption("first_seed"), metafunc.config.getoption("seeds")
        quick = [pytest.param(seed, id=f"quick{seed}") for seed in getattr(metafunc.module, "QUICK_SEEDS", (1,))]
        long = [
            pytest.param(seed, id=f"seed{seed}", marks=(pytest.mark.chaos, pytest.mark.timeout(600)))
            for seed in range(first, first + count)
        ]
        metafunc.parametrize("seed", quick + long)
