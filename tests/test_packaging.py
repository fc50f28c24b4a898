"""Three top-level import names in one distribution: what keeps that safe."""

import sys
from importlib import metadata, util
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parent.parent
NAMES = ("schemas", "processors", "streams")
ALLOWED = {"chunk", "encodings", "http", "trace"}
"""The stage's, the reader's, the adapters' and the command's own word. They would shadow the standard library only for
a script that is run by its path from their folder, and nothing in these folders is."""


def package(name: str) -> Path:
    spec = util.find_spec(name)
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent


@pytest.mark.parametrize("name", NAMES)
def test_each_name_resolves_in_this_repository_or_in_our_wheel(name: str) -> None:
    found = package(name)
    if found != CHECKOUT / name:
        files = metadata.distribution("headwater").files or []
        assert found / "__init__.py" in [Path(str(file.locate())) for file in files]


@pytest.mark.parametrize("name", NAMES)
def test_no_other_distribution_claims_a_name(name: str) -> None:
    assert set(metadata.packages_distributions().get(name, ())) <= {"headwater"}


@pytest.mark.parametrize("name", NAMES)
def test_each_package_says_that_it_is_typed(name: str) -> None:
    assert (package(name) / "py.typed").exists()


@pytest.mark.parametrize("name", NAMES)
def test_no_further_module_is_named_like_one_of_the_standard_library(name: str) -> None:
    ours = {path.stem for path in package(name).rglob("*.py")} - {"__init__", "__main__"}
    assert name not in sys.stdlib_module_names
    assert ours & sys.stdlib_module_names <= ALLOWED


def test_contracts_and_examples_travel_with_the_package() -> None:
    assert list((package("schemas") / "contracts").glob("*.json"))
    assert list((package("schemas") / "examples").glob("*.json"))


@pytest.mark.skipif(not (CHECKOUT / "streams").is_dir(), reason="these tests run against an installed wheel")
def test_every_folder_of_tests_is_a_package() -> None:
    """Or `tests/streams` would shadow `streams`."""
    folders = {path.parent for path in (CHECKOUT / "tests").rglob("*.py")}
    assert [folder for folder in folders if not (folder / "__init__.py").exists()] == []
