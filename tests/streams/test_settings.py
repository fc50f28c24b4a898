"""Settings as an environment: a child process gets exactly the same."""

from pathlib import Path

import pytest
from pydantic import SecretStr

from streams.settings import LocalStack, Settings


def test_the_environment_gives_the_same_settings_in_another_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(
        home=tmp_path / "home",
        kafka="broker:9092",
        kafka_options={"sasl.username": SecretStr("me"), "sasl.password": SecretStr('p"ss')},
        index_token=SecretStr("root:Milvus"),
        embedder_key=SecretStr("e"),
        reranker_key=SecretStr("r"),
        sparse_key=SecretStr("s"),
        window_events=7,
        trace_content=True,
        local=LocalStack(kafka_port=1234, llm_model=Path("/models/own.gguf")),
    )
    for name, value in settings.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "headwater.toml").write_text('topic_prefix = "another-"\nwindow_events = 3\n')
    assert Settings() == settings


def test_commands_find_the_stack_of_their_environment_from_any_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    monkeypatch.setattr("sys.prefix", str(tmp_path / ".venv"))
    assert Settings().home == Path(".headwater")
    (tmp_path / ".headwater").mkdir()
    assert Settings().home == tmp_path / ".headwater"
    (elsewhere / ".headwater").mkdir()
    assert Settings().home == Path(".headwater")


def test_a_relative_home_is_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert Settings(home=Path("here")).environment["HEADWATER_HOME"] == str(tmp_path / "here")
