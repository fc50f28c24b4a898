"""A question from the shell."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from streams.settings import Settings
from tests.streams.cli.conftest import Run
from tests.streams.responder import Responder

pytestmark = pytest.mark.stack


def test_the_answer_is_written_once(deployed: Run) -> None:
    result = deployed("ask", "one two three")
    assert result.exit_code == 0
    assert result.output.startswith("one two three\n")
    assert result.output.count("one two three") == 1
    assert "headwater trace" in result.output


def test_traces_that_go_elsewhere_are_looked_for_there(deployed: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADWATER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    said = deployed("ask", "one two three").output
    assert "headwater trace" not in said
    assert "in the traces at http://127.0.0.1:9" in said


def test_standard_input_is_a_question_too(deployed: Run) -> None:
    assert deployed("ask", "-", stdin="from standard input\n").output.startswith("from standard input\n")


def test_a_question_needs_no_quotes(deployed: Run) -> None:
    assert deployed("ask", "one", "two", "three").output.startswith("one two three\n")


@pytest.mark.parametrize(("words", "stdin"), [([""], ""), ([" ", "\t"], ""), (["-"], "\n")])
def test_an_empty_question_is_asked_of_nobody(run: Run, words: list[str], stdin: str) -> None:
    result = run("--kafka", "127.0.0.1:9", "ask", *words, stdin=stdin)
    assert (result.exit_code, result.stderr) == (2, "headwater: the question is empty: ask in at least one word\n")


def test_an_answer_that_takes_long_is_announced_on_standard_error(
    deployed: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streams.client.GRACE_S", 0.1)
    monkeypatch.setattr("streams.cli.ask.AT_ONCE_S", 0.0)
    monkeypatch.setattr("streams.cli.activity.SILENCE_S", 0.1)
    result = deployed("ask", "silence", "--timeout", "1")
    assert "waiting for the answer (" in result.stderr
    assert result.stdout == ""


def test_json_is_an_object_per_line_and_the_last_is_final(deployed: Run) -> None:
    lines = [json.loads(line) for line in deployed("ask", "--json", "one two").output.splitlines()]
    assert [line["type"] for line in lines] == [
        "headwater.answer-delta.v1",
        "headwater.answer-delta.v1",
        "headwater.answer-completed.v1",
    ]
    assert lines[-1]["text"] == "one two"


def test_a_takeover_leaves_the_whole_text_of_the_new_attempt(deployed: Run) -> None:
    result = deployed("ask", "takeover now")
    assert "another worker took over" in result.output
    assert "\ntakeover now\n" in result.output


def test_a_refusal_shows_what_was_considered_and_exits_with_1(deployed: Run) -> None:
    result = deployed("ask", "refuse this")
    assert result.exit_code == 1
    assert "No answer: too weak" in result.output
    assert "Leave, chunk 0: dense 0.10, rerank 0.05" in result.output
    assert "\x1b" not in result.output


def test_a_failure_says_which_stage_and_why_and_exits_with_5(deployed: Run) -> None:
    result = deployed("ask", "fail this")
    assert result.exit_code == 5
    assert "headwater: past its deadline (deadline, said by the retrieve stage)" in result.output


def test_versions_to_search_after_are_named_one_by_one(deployed: Run) -> None:
    result = deployed("ask", "versions", "--after", "a=b.md=3", "--after", "other=12", "--wait", "0.5")
    assert result.exit_code == 5
    assert "waits 0.5 s for {'a=b.md': 3, 'other': 12} (not-visible, said by the retrieve stage)" in result.output


@pytest.mark.parametrize("after", ["handbook.md", "=3", "handbook.md=", "handbook.md=3.0", "handbook.md=-1"])
def test_a_version_to_search_after_that_is_none_is_wrong_usage(deployed: Run, after: str) -> None:
    result = deployed("ask", "anything", "--after", after)
    assert result.exit_code == 2
    assert "is not DOCUMENT=VERSION, for example --after handbook.md=3" in result.output


def test_a_version_that_no_document_can_have_is_wrong_usage(run: Run) -> None:
    result = run("ask", "anything", "--after", f"handbook.md={2**63}")
    assert result.exit_code == 2
    assert f"--after 'handbook.md={2**63}': no version is over {2**63 - 1}" in result.output


def test_silence_exits_with_4(deployed: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streams.client.GRACE_S", 0.1)
    result = deployed("ask", "silence", "--timeout", "0.3")
    assert result.exit_code == 4
    assert "no answer to query" in result.output


def test_a_question_that_has_no_utf8_form_is_wrong_usage(deployed: Run) -> None:
    result = deployed("ask", "lone \udcff surrogate")
    assert result.exit_code == 2
    assert "cannot be written" in result.output


def test_ctrl_c_withdraws_the_question(deployment: Settings, responder: Responder, tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "streams", "ask", "silence until interrupted"],
        env={**deployment.environment, "PATH": ""},
        cwd=Path(__file__).parent.parent.parent.parent,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
    )
    before = set(responder.cancelled)
    asked = len(responder.headers)
    until = time.monotonic() + 20
    while len(responder.headers) == asked and time.monotonic() < until:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=20)
    assert (process.returncode, said) == (130, b"")
    while set(responder.cancelled) == before:
        assert time.monotonic() < until
        time.sleep(0.05)
