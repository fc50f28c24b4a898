"""Settings as an environment: a child process gets exactly the same."""

from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError

from streams.settings import Instance, LocalStack, Settings


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


def test_a_pool_is_the_same_in_a_child_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "headwater.toml").write_text(
        'embedder = ["tei+http://a:1", {url = "tei+http://b:1", weight = 2, tier = 1}]\ngenerator = "openai+http://c:1"\n'
    )
    settings = Settings()
    named = (Instance(url="tei+http://a:1"), Instance(url="tei+http://b:1", weight=2, tier=1))
    assert settings.instances("embedder") == named
    assert settings.instances("generator") == (Instance(url="openai+http://c:1"),)
    (tmp_path / "headwater.toml").unlink()
    for name, value in settings.environment.items():
        monkeypatch.setenv(name, value)
    assert settings.environment["HEADWATER_GENERATOR"] == "openai+http://c:1"
    assert Settings().instances("embedder") == named


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ("[]", "names no instance"),
        ('["x://a", "x://a"]', "'x://a' is named twice"),
        ('[{"url": "x://a", "weight": 0}]', "greater than 0"),
        ('[{"url": "x://a", "wieght": 2}]', "wieght"),
    ],
)
def test_a_pool_that_cannot_work_is_refused(monkeypatch: pytest.MonkeyPatch, wrong: str, reason: str) -> None:
    monkeypatch.setenv("HEADWATER_RERANKER", wrong)
    with pytest.raises(ValidationError, match=reason):
        Settings()
