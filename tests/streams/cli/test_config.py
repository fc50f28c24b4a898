"""What a deployment is set to, and why."""

import json
from pathlib import Path

import pytest

from tests.streams.cli.conftest import Run


def test_every_value_names_its_source(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("headwater.toml").write_text("tenant = 'from-file'\nwindow_events = 5\n")
    monkeypatch.setenv("HEADWATER_WINDOW_EVENTS", "6")
    shown = json.loads(run("--kafka", "broker:1", "config", "--json").output)
    assert shown["kafka"] == {"value": "broker:1", "source": "--kafka"}
    assert shown["window_events"] == {"value": 6, "source": "HEADWATER_WINDOW_EVENTS"}
    assert shown["tenant"] == {"value": "from-file", "source": "headwater.toml"}
    assert shown["topic_prefix"] == {"value": "", "source": "default"}


def test_what_is_derived_is_shown_as_it_works(run: Run) -> None:
    shown = json.loads(run("config", "--json").output)
    assert shown["kafka"]["value"] == "127.0.0.1:19092"
    assert shown["index"]["value"] == "milvus+http://127.0.0.1:19530/headwater"


@pytest.mark.parametrize("flags", [[], ["--json"]])
def test_secrets_are_masked(run: Run, monkeypatch: pytest.MonkeyPatch, flags: list[str]) -> None:
    monkeypatch.setenv("HEADWATER_INDEX_TOKEN", "hunter2")
    monkeypatch.setenv("HEADWATER_KAFKA_OPTIONS", '{"sasl.password": "hunter2"}')
    shown = run("config", *flags).output
    assert "hunter2" not in shown
    assert "sasl.password" in shown


def test_a_password_in_a_url_is_masked(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADWATER_INDEX", "milvus+http://me:hunter2@host:1/c")
    shown = run("config").output
    assert "hunter2" not in shown
    assert "@host:1/c" in shown


def test_a_pool_is_shown_whole_and_its_passwords_are_not(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADWATER_EMBEDDER", '["tei+http://a:1", {"url": "tei+http://me:hunter2@b:1", "weight": 2}]')
    shown = json.loads(run("config", "--json").output)["embedder"]
    assert shown["source"] == "HEADWATER_EMBEDDER"
    assert shown["value"] == ["tei+http://a:1", {"url": "tei+http://me:**********@b:1", "weight": 2.0, "tier": 0}]
    assert "hunter2" not in run("config").output


def test_a_misspelt_variable_is_pointed_out(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADWATER_KAFAK", "broker:1")
    monkeypatch.setenv("HEADWATER_LOCAL__KAFKA_PORT", "1234")
    result = run("config", "--json")
    assert result.stderr == "headwater: HEADWATER_KAFAK is set, but is no setting\n"
    assert json.loads(result.stdout)["local"]["source"] == "HEADWATER_LOCAL__KAFKA_PORT"
