"""`headwater schemas`: exit codes, words and JSON."""

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from schemas import EVENTS, contract
from streams import asyncapi
from streams.cli import app


def headwater(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


@pytest.fixture
def committed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the committed contracts that the commands take for the repository's."""
    copy = Path(shutil.copytree(contract.CONTRACTS, tmp_path / "contracts"))
    document = tmp_path / "asyncapi.json"
    document.write_bytes(asyncapi.render())
    monkeypatch.setattr(contract, "CONTRACTS", copy)
    monkeypatch.setattr(asyncapi, "DOCUMENT", document)
    return copy


def narrow(committed: Path) -> None:
    """Commit a contract that allowed more than the class does."""
    path = committed / "headwater.query-cancelled.v1.json"
    path.write_text(path.read_text().replace('"maxLength": 128', '"maxLength": 256'))


def test_fresh_contracts_pass(committed: Path) -> None:
    result = headwater("schemas", "check")
    assert result.exit_code == 0
    assert result.output == f"{len(EVENTS)} events match their contracts\n"


def test_a_breaking_change_fails_with_what_and_the_remedy(committed: Path) -> None:
    narrow(committed)
    result = headwater("schemas", "check")
    assert result.exit_code == 1
    assert "headwater.query-cancelled.v1: BREAKING" in result.output
    assert "query_id: maxLength was 256 and is 128" in result.output
    assert "remedy: keep this version as it was" in result.output


def test_a_missing_contract_fails_and_export_mends_it(committed: Path) -> None:
    (committed / "headwater.query-cancelled.v1.json").unlink()
    assert headwater("schemas", "check").exit_code == 1
    exported = headwater("schemas", "export")
    assert exported.exit_code == 0
    assert str(committed / "headwater.query-cancelled.v1.json") in exported.output
    assert headwater("schemas", "check").exit_code == 0


def test_a_stale_asyncapi_document_fails(committed: Path) -> None:
    asyncapi.DOCUMENT.write_text("{}")
    result = headwater("schemas", "check")
    assert result.exit_code == 1
    assert "asyncapi.json: stale" in result.output


def test_export_refuses_to_commit_a_breaking_change(committed: Path) -> None:
    narrow(committed)
    before = (committed / "headwater.query-cancelled.v1.json").read_bytes()
    result = headwater("schemas", "export")
    assert result.exit_code == 1
    assert "headwater.query-cancelled.v1 would break" in result.output
    assert (committed / "headwater.query-cancelled.v1.json").read_bytes() == before


def test_export_writes_everything_to_a_folder_of_choice(committed: Path, tmp_path: Path) -> None:
    narrow(committed)
    result = headwater("schemas", "export", "--out", str(tmp_path / "out"))
    assert result.exit_code == 0
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {f"{event.ce_type}.json" for event in EVENTS} | {"asyncapi.json"}


def test_json_is_one_array(committed: Path) -> None:
    assert json.loads(headwater("schemas", "check", "--json").output) == []
    narrow(committed)
    result = headwater("schemas", "check", "--json")
    assert result.exit_code == 1
    (difference,) = json.loads(result.output)
    assert difference["ce_type"] == "headwater.query-cancelled.v1"
    assert difference["breaking"] is True
    assert difference["changes"]
    assert difference["remedy"]
