"""What every command shares: help, exit codes, one clear line instead of a traceback."""

import ast
import inspect
import json
import os
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from streams.cli import COMMANDS, Lazy
from streams.local import state
from streams.local.state import StackState
from tests.streams.cli.conftest import Run, Shell

CHECKOUT = Path(__file__).parent.parent.parent.parent
ENTRIES = [
    (name, entry) if isinstance(entries, Lazy) else (f"{name} {inner}", entry)
    for name, entries in COMMANDS.items()
    for inner, entry in ([("", entries)] if isinstance(entries, Lazy) else entries.items())
]


def test_help_lists_every_command_and_imports_none(shell: Shell) -> None:
    shown = shell("--help", PYTHONPROFILEIMPORTTIME="1")
    assert shown.returncode == 0
    assert all(name.split()[0] in shown.stdout for name, _ in ENTRIES)
    imported = {line.rpartition("|")[2].strip() for line in shown.stderr.splitlines()}
    assert imported.isdisjoint({"pydantic", "schemas", "rich.console", "confluent_kafka", "opentelemetry"})


@pytest.mark.parametrize(("name", "entry"), ENTRIES, ids=[name for name, _ in ENTRIES])
def test_every_command_is_there_and_explains_itself(run: Run, name: str, entry: Lazy) -> None:
    module, _, function = entry.target.partition(":")
    assert inspect.getdoc(getattr(import_module(module), function))
    shown = run(*name.split(), "--help")
    assert shown.exit_code == 0
    assert f"Usage: headwater {name}" in shown.output
    assert not re.search(r"<\w|\{\w", shown.output)  # Python's types


def test_command_modules_import_no_event_at_the_top() -> None:
    for _, entry in ENTRIES:
        tree = ast.parse(Path(import_module(entry.target.partition(":")[0]).__file__ or "").read_text())
        for node in tree.body:
            if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in {"schemas", "processors"}:
                pytest.fail(f"{entry.target} imports {node.module} at the top")


def test_no_command_shows_the_help(run: Run) -> None:
    assert "Usage: headwater" in run().output


def test_version_is_printed(run: Run) -> None:
    assert run("--version").output.startswith("headwater ")


@pytest.mark.parametrize(
    ("arguments", "meant"),
    [(["ingset", "."], "'ingset': did you mean 'ingest'?"), (["documents", "lst"], "'lst': did you mean 'list'?")],
)
def test_a_misspelt_command_is_told_what_may_be_meant(run: Run, arguments: list[str], meant: str) -> None:
    assert meant in run(*arguments).stderr


@pytest.mark.parametrize("arguments", [["confg"], ["--foo"], ["ask", "--foo", "q"], ["ask"], ["documents", "burn"]])
def test_wrong_usage_exits_with_2_and_says_what(run: Run, arguments: list[str]) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert "Error: " in result.output


@pytest.mark.parametrize(
    ("variable", "value", "says"),
    [
        ("HEADWATER_WINDOW_EVENTS", "many", "'window_events' (from HEADWATER_WINDOW_EVENTS) is 'many'"),
        ("HEADWATER_KAFKA_OPTIONS", "not json", "'kafka_options' (from HEADWATER_KAFKA_OPTIONS) is no valid JSON: Exp"),
        (
            "HEADWATER_CHUNKING",
            "{bad",
            "'chunking' (from HEADWATER_CHUNKING) is no valid JSON: Expecting property name",
        ),
        ("HEADWATER_LOCAL__KAFKA_PORT", "99999", "'local.kafka_port'"),
        ("HEADWATER_EMBEDDER", "tei+http://a:1,tei+http://b:1", "give a URL, or several as a list"),
        ("HEADWATER_EMBEDDER", '["tei+http://a:1"', "give a URL, or several as a list"),
        ("HEADWATER_EMBEDDER", '{"url": "tei+http://a:1"}', "give a URL, or several as a list"),
        ("HEADWATER_EMBEDDER", "[]", "[]: an empty list"),
        ("HEADWATER_EMBEDDER", '[{"url": "x", "wieght": 2}]', "'embedder.0.wieght' (from HEADWATER_EMBEDDER) is no"),
        ("HEADWATER_EMBEDDER", '[{"weight": 2}]', "'embedder.0.url'"),
        ("HEADWATER_LOG_LEVEL", "loud", "'debug', 'info', 'warning' or 'error'"),
    ],
)
def test_a_wrong_variable_is_named(
    run: Run, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, says: str
) -> None:
    monkeypatch.setenv(variable, value)
    result = run("config")
    assert (result.exit_code, result.output.count("\n")) == (2, 1)
    assert says in result.output


def test_a_stage_that_does_not_exist_is_one_line(run: Run) -> None:
    result = run("worker", "--stages", "chunk,foo")
    known = "chunk, embed, upsert, retrieve, rerank, generate"
    assert (result.exit_code, result.stderr) == (2, f"headwater: --stages: 'foo' is none of {known}\n")


def test_a_wrong_secret_is_named_and_not_shown(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADWATER_KAFKA_OPTIONS", '{"sasl.password": ["hunter2"]}')
    result = run("config")
    assert result.exit_code == 2
    assert "'kafka_options.sasl.password' (from HEADWATER_KAFKA_OPTIONS): " in result.output
    assert "hunter2" not in result.output


@pytest.mark.parametrize(
    ("content", "says"),
    [("kafka = [", "not valid TOML"), ("kafak = 'x'", "'kafak'"), ("[local]\nmilvus_port = 0", "'local.milvus_port'")],
)
def test_a_wrong_settings_file_is_named(run: Run, content: str, says: str) -> None:
    Path("headwater.toml").write_text(content)
    result = run("config")
    assert result.exit_code == 2
    assert says in result.output
    assert "headwater.toml" in result.output


def test_no_broker_is_one_line_and_exit_code_3(shell: Shell) -> None:
    result = shell("--kafka", "127.0.0.1:9", "ask", "anything")
    assert (result.returncode, result.stdout) == (3, "")
    *waiting, said = result.stderr.splitlines()
    assert all(line.startswith("waiting for the answer") for line in waiting)
    assert "no Kafka broker answers at 127.0.0.1:9; start the local stack with `headwater up`" in said


def test_a_broker_of_the_running_stack_that_is_away_is_not_to_be_started(run: Run) -> None:
    home = Path(".headwater").resolve()
    seen = StackState(phase="ready", pid=os.getpid(), started=0, kafka="127.0.0.1:9", workers=True, parts={})
    with state.exclusive(home):
        seen.write(home)
        result = run("--kafka", "127.0.0.1:9", "ask", "anything")
    assert result.exit_code == 3
    assert "the broker 127.0.0.1:9 does not answer, though the local stack runs: `headwater status`" in result.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("topics", "plan"),
        ("documents", "list"),
        ("index", "apply"),
        ("contract", "milvus+http://127.0.0.1:9"),
        ("ask", "anything"),
    ],
    ids=" ".join,
)
def test_a_program_gets_what_keeps_a_command_from_its_answer_as_json(
    run: Run, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    monkeypatch.setenv("HEADWATER_INDEX", "milvus+http://127.0.0.1:9/documents")
    result = run("--kafka", "127.0.0.1:9", *arguments, "--json")
    said = json.loads(result.stdout)
    assert said["exit_code"] == result.exit_code == 3
    assert "127.0.0.1:9" in said["error"]
    assert f"headwater: {said['error']}\n" in result.stderr


def test_a_wrong_setting_is_json_too_and_text_without_the_flag(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADWATER_WINDOW_EVENTS", "many")
    result = run("config", "--json")
    assert json.loads(result.stdout)["exit_code"] == result.exit_code == 2
    assert run("config").stdout == ""


def test_the_debug_level_shows_the_traceback(shell: Shell) -> None:
    result = shell("trace", "--last", HEADWATER_LOG_LEVEL="debug")
    assert result.returncode == 1
    assert "Traceback" in result.stderr


def test_a_reader_that_has_seen_enough_ends_the_command_quietly(shell: Shell) -> None:
    script = f"{sys.executable} -m streams config | true; exit ${{PIPESTATUS[0]}}"
    result = subprocess.run(["bash", "-c", script], cwd=CHECKOUT, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (141, "")


def test_an_answer_that_cannot_be_written_is_no_refusal(shell: Shell) -> None:
    script = f"{sys.executable} -m streams config > /dev/full"
    result = subprocess.run(["bash", "-c", script], cwd=CHECKOUT, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (5, "headwater: [Errno 28] No space left on device\n")
