"""Documents as the command line shows and deletes them, on the real index."""

import json
from pathlib import Path

import pytest

from streams.settings import Settings
from tests.streams.cli.conftest import Run, run

__all__ = ["run"]

pytestmark = [pytest.mark.stack, pytest.mark.usefixtures("workers")]

EXAMPLES = Path(__file__).parent.parent.parent / "examples"


@pytest.fixture
def headwater(run: Run, deployment: Settings, monkeypatch: pytest.MonkeyPatch, tenant: str) -> Run:
    """`headwater`, as a tenant of its own."""
    for name, value in deployment.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("HEADWATER_TENANT", tenant)
    return run


@pytest.mark.timeout(240)
def test_examples_are_indexed_listed_shown_and_erased(headwater: Run) -> None:
    first = json.loads(headwater("ingest", str(EXAMPLES / "documents"), "--json").stdout)
    again = json.loads(headwater("ingest", str(EXAMPLES / "documents"), "--json").stdout)
    names = sorted(path.name for path in (EXAMPLES / "documents").iterdir())
    assert (first["indexed"], first["rejected"]) == (len(names), 0)
    assert (again["unchanged"], again["embedded"]) == (len(names), 0)

    listed = json.loads(headwater("documents", "list", "--json").stdout)["documents"]
    assert [document["document_id"] for document in listed] == names
    assert names[0] in headwater("documents", "list").output

    shown = json.loads(headwater("documents", "show", "night-shift.pdf", "--json").stdout)
    assert len(shown["chunks"]) == shown["chunk_count"]
    assert {chunk["page"] for chunk in shown["chunks"]} >= {1}
    assert "page 1" in headwater("documents", "show", "night-shift.pdf").output

    erased = headwater("documents", "delete", *names)
    assert (erased.exit_code, erased.output.count(" removed")) == (0, len(names))
    assert headwater("documents", "list").output.startswith("0 documents")

    misspelt = headwater("documents", "delete", "night-shfit.pdf")
    assert (misspelt.exit_code, misspelt.output[:26]) == (1, "not found night-shfit.pdf:")


def test_every_broken_file_is_rejected_with_its_reason(headwater: Run) -> None:
    result = headwater("ingest", str(EXAMPLES / "broken"))
    files = list((EXAMPLES / "broken").iterdir())
    assert result.exit_code == 1
    assert result.output.count("rejected  ") == len(files)
    assert f"{len(files)} rejected" in result.output.splitlines()[-1]


def test_a_document_that_is_not_there_is_said(headwater: Run) -> None:
    result = headwater("documents", "show", "nothing")
    assert result.exit_code == 1
    assert "has no document 'nothing'" in result.output


def test_no_index_is_one_line_and_exit_code_3(headwater: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADWATER_INDEX", "milvus+http://127.0.0.1:9/none")
    result = headwater("documents", "list")
    assert result.exit_code == 3
    assert "`headwater doctor` says what is wrong" in result.output
