"""`headwater index`: what it says about a Milvus, and what it does to one."""

import json
import uuid

import pytest
from typer.testing import CliRunner, Result

from processors.backends.milvus import migration as milvus_migration
from streams.cli import app
from streams.local.listeners import free_ports
from streams.settings import Settings


def headwater(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


@pytest.fixture
def collection(stack: Settings, monkeypatch: pytest.MonkeyPatch) -> str:
    """Commands speak to the test's Milvus, about a collection of this test alone."""
    name = f"index_{uuid.uuid4().hex[:8]}"
    monkeypatch.setenv("HEADWATER_INDEX", f"{stack.index_url.rpartition('/')[0]}/{name}")
    monkeypatch.setattr(milvus_migration, "SETTLED_S", 0.0)
    return name


def test_no_server_is_said_in_one_line_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    address = f"127.0.0.1:{free_ports(1)[0]}"
    monkeypatch.setenv("HEADWATER_INDEX", f"milvus+http://{address}/documents")
    result = headwater("index", "plan")
    assert result.exit_code == 3
    assert address in result.output
    assert "is it running" in result.output
    assert len(result.output.splitlines()) == 1


def test_a_url_of_another_form_is_said_with_the_form(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADWATER_INDEX", "milvus+http://127.0.0.1:1/my-documents")
    result = headwater("index", "plan")
    assert result.exit_code == 1
    assert "letters, digits and underscores" in result.output


@pytest.mark.stack
def test_plan_changes_nothing_and_apply_does_what_it_shows(collection: str) -> None:
    for _ in range(2):
        planned = headwater("index", "plan", "--dimensions", "384")
        assert planned.exit_code == 0
        assert "100,000 rows x 384 dimensions x 4 B = 0.14 GiB" in planned.output
        assert f"{collection}: create {collection}_v1 with 1 shards and 16 partitions by tenant" in planned.output
    applied = headwater("index", "apply")
    assert applied.exit_code == 0
    assert f"{collection}: created {collection}_v1 with 1 shards and 16 partitions by tenant" in applied.output
    assert "(apply)" not in applied.output
    assert "the collections are as they should be" in headwater("index", "plan").output
    assert json.loads(headwater("index", "plan", "--json").output)["changes"] == []


@pytest.mark.stack
def test_a_rebuild_is_left_until_it_is_asked_for_and_its_leftover_until_it_is_dropped(collection: str) -> None:
    assert headwater("index", "apply").exit_code == 0
    result = headwater("index", "apply", "--rows", "1000")
    assert result.exit_code == 1
    assert "index is HNSW, should be FLAT (apply --rebuild)" in result.output
    left = headwater("index", "apply", "--rows", "1000", "--json")
    assert left.exit_code == 1
    assert json.loads(left.stdout)["made"] == []
    rebuilt = headwater("index", "apply", "--rows", "1000", "--rebuild")
    assert rebuilt.exit_code == 0
    assert f"{collection}: index was HNSW, is now FLAT\n" in rebuilt.output
    kept = f"{collection}_v1: leftover is replaced by {collection}_v2, keeping what was erased since, should be dropped"
    assert f"{kept} (apply --drop)\n" in rebuilt.output
    [leftover] = json.loads(headwater("index", "plan", "--rows", "1000", "--json").output)["changes"]
    assert (leftover["collection"], leftover["how"]) == (f"{collection}_v1", "drop")
    dropped = json.loads(headwater("index", "apply", "--rows", "1000", "--drop", "--json").output)
    assert dropped["made"] == [leftover]
    assert json.loads(headwater("index", "plan", "--rows", "1000", "--json").output)["changes"] == []
