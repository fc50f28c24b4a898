"""A real Triton for the tests of its adapter, started once per run."""

from collections.abc import Iterator

import pytest

from tests.servers.llama import Llama
from tests.servers.triton.launcher import Triton, everything, missing


@pytest.fixture(scope="session")
def installed_triton() -> None:
    if reason := missing():
        pytest.skip(reason)


@pytest.fixture(scope="session")
def triton_and_llama(installed_triton: None) -> Iterator[tuple[Triton, Llama]]:
    with everything("faulty", "stumbling") as both:
        yield both


@pytest.fixture
def triton(triton_and_llama: tuple[Triton, Llama]) -> Triton:
    return triton_and_llama[0]


@pytest.fixture
def llm(triton_and_llama: tuple[Triton, Llama]) -> Llama:
    return triton_and_llama[1]
