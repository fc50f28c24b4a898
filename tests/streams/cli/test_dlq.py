"""`headwater dlq` on a real broker: what it prints, writes, settles and deletes."""

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient

from schemas import DocumentId, DocumentPublished, InlineText, QueryAsked, QueryId, ReplyTo, Tenant, encode
from streams import provisioning
from streams.cli import dlq
from streams.letters.kafka import KafkaLog
from streams.local.listeners import free_ports
from streams.runtime.records import Headers
from streams.settings import Settings
from tests.streams.cli.conftest import Run

CHECKOUT = Path(__file__).parent.parent.parent.parent
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
TRACE = "ab" * 16


class Deployment:
    """Topics of one test, into which it writes letters as workers do."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._log = KafkaLog(settings.kafka_config, settings.topic_prefix)
        self._producer = Producer({**settings.kafka_config})
        self._offsets = count()

    def letter(self, topic: str, key: str, value: bytes, ce_type: str, **about: str) -> None:
        said = {
            "stage": "chunk",
            "code": "too-large",
            "detail": "it is odd",
            "attempts": "1",
            "source-topic": self.settings.topic_prefix + topic,
            "source-partition": "0",
            "source-offset": str(next(self._offsets)),
            "time": NOW.isoformat(),
            "trace": TRACE,
        }
        said |= {name.replace("_", "-"): text for name, text in about.items()}
        headers: list[tuple[str, str | bytes | None]] = [("ce_type", ce_type), ("traceparent", "00-1-2-01")]
        headers += [(f"dlq-{name}", text) for name, text in said.items()]
        self._producer.produce(f"{self.settings.topic_prefix}{topic}-dlq", value, key=key, headers=headers)

    def document(self, name: str = "d1", **about: str) -> None:
        event = DocumentPublished(
            tenant=Tenant("acme"),
            document_id=DocumentId(name),
            version=1,
            published_at=NOW,
            source=InlineText(text=f"text of {name} " * 50),
            media_type="text/plain",
        )
        self.letter("documents", event.key, encode(event), event.ce_type, **about)

    def question(self, query_id: str, deadline: datetime | None) -> None:
        event = QueryAsked(
            query_id=QueryId(query_id),
            tenant=Tenant("acme"),
            text="what?",
            reply_to=ReplyTo(topic="answers", partition=0),
            asked_at=NOW,
            deadline=deadline,
        )
        self.letter("queries", event.key, encode(event), event.ce_type, stage="retrieve")

    def write(self, topic: str, key: str, value: bytes, *, partition: int) -> None:
        self._producer.produce(topic, value, key=key, partition=partition)

    def flush(self) -> None:
        assert self._producer.flush(30) == 0

    def written(self, topic: str) -> list[tuple[bytes | None, bytes | None, Headers]]:
        with closing(self._log.scan(self._log.starts([topic]))) as records:
            return [(record.key, record.value, record.headers) for record in records]


@pytest.fixture
def deployed(stack: Settings, run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Deployment]:
    prefix = f"dlq-{uuid.uuid4().hex[:8]}-"
    settings = stack.model_copy(update={"topic_prefix": prefix, "home": tmp_path / ".headwater"})
    provisioning.apply(settings)
    for name, value in settings.environment.items():
        monkeypatch.setenv(name, value)
    yield Deployment(settings)
    admin = AdminClient({**stack.kafka_config})
    for deleted in admin.delete_topics([spec.name for spec in provisioning.desired(settings)]).values():
        deleted.result(30)


def output(run: Run, *arguments: str, code: int = 0) -> Any:
    result = run("dlq", *arguments, "--json")
    assert result.exit_code == code, result.output
    return json.loads(result.stdout)


@pytest.mark.stack
def test_list_says_in_one_line_each_what_is_wrong_with_which_record(run: Run, deployed: Deployment) -> None:
    for number in range(3):
        deployed.document(f"d{number}", detail="it is\nodd \x1b[31m", code="too-large" if number else "schema")
    deployed.question("q1", None)
    deployed.flush()
    *lines, total = run("dlq", "list").output.splitlines()
    assert [[*line.split()[:3], line.split()[5]] for line in lines] == [
        ["documents-dlq/0/0", "chunk", "schema", "acme/d0"],
        ["documents-dlq/0/1", "chunk", "too-large", "acme/d1"],
        ["documents-dlq/0/2", "chunk", "too-large", "acme/d2"],
        ["queries-dlq/0/0", "retrieve", "too-large", "q1"],
    ]
    assert lines[0].endswith("it is\\nodd [31m")
    assert total == "4 open letters: 3 too-large, 1 schema"
    assert [letter["id"] for letter in output(run, "list", "--document", "acme/d1")["letters"]] == ["documents-dlq/0/1"]
    assert len(output(run, "list", "--stage", "chunk", "--code", "too-large")["letters"]) == 2
    assert run("dlq", "list", "--code", "encrypted").output == "0 open letters\n"


@pytest.mark.stack
def test_a_document_without_a_tenant_is_one_of_the_settings(
    run: Run, deployed: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADWATER_TENANT", "acme")
    for name in ("latin1.txt", "other.txt"):
        deployed.document(name)
    deployed.flush()
    assert output(run, "replay", "--document", "latin1.txt")["topics"] == {"documents": 1}


@pytest.mark.stack
def test_show_prints_the_event_its_headers_and_the_way_to_its_trace(run: Run, deployed: Deployment) -> None:
    deployed.document()
    deployed.flush()
    shown = run("dlq", "show", "documents-dlq/0/0").output
    assert f"`headwater trace {TRACE}`" in shown
    assert "header     traceparent: 00-1-2-01" in shown
    assert "DocumentPublished:" in shown
    assert "mend the document, ingest it again, and `headwater dlq drop documents-dlq/0/0`" in shown
    assert "characters more" in shown
    (data,) = output(run, "show", "documents-dlq/0/0")["letters"]
    assert json.loads(data["value"])["source"]["text"] == "text of d1 " * 50
    assert data["settled"] is None
    missing = run("dlq", "show", "documents-dlq/0/0", "documents-dlq/0/7")
    assert missing.exit_code == 1
    assert "there is no letter documents-dlq/0/7" in missing.output


@pytest.mark.stack
def test_show_prints_any_bytes_and_moves_no_cursor(run: Run, deployed: Deployment) -> None:
    deployed.letter("documents", "acme/a", bytes(range(256)) * 4, "headwater.document-published.v1")
    deployed.letter("documents", "acme/b", b'{"tenant": "\x1b[2J"}', "\x1b[31mtype")
    deployed.flush()
    raw, text = (run("dlq", "show", f"documents-dlq/0/{offset}").output for offset in range(2))
    assert "no event of its topic:\n00 01 02 03" in raw
    assert "... and 768 bytes more" in raw
    assert '{"tenant": "[2J"}' in text
    assert "\x1b" not in raw + text
    (data,) = output(run, "show", "documents-dlq/0/0")["letters"]
    assert data["value_base64"].startswith("AAECAw")


@pytest.mark.stack
def test_a_dry_run_says_what_a_replay_then_does(run: Run, deployed: Deployment) -> None:
    deployed.document("d1")
    deployed.document("d2")
    deployed.question("q1", None)
    deployed.flush()
    dry = run("dlq", "replay", "--all", "--dry-run").output.splitlines()
    assert dry[0] == "replay    documents-dlq/0/0 to documents: acme/d1 (too-large)"
    assert dry[-1] == "3 letters would be replayed: 2 records to documents, 1 record to queries"
    planned = output(run, "replay", "--all", "--dry-run")
    assert deployed.written("documents") == deployed.written("letters-settled") == []
    done = run("dlq", "replay", "--all").output.splitlines()
    assert done[-1] == "3 letters replayed: 2 records to documents, 1 record to queries"
    assert planned["topics"] == {"documents": 2, "queries": 1}
    assert {key for key, _, _ in deployed.written("documents")} == {b"acme/d1", b"acme/d2"}
    ((key, value, headers),) = deployed.written("queries")
    assert key == b"q1"
    assert [name for name, _ in headers] == ["ce_type", "traceparent", "hw-history"]
    assert json.loads(value or b"")["text"] == "what?"


@pytest.mark.stack
def test_a_second_replay_says_that_it_was_done(run: Run, deployed: Deployment) -> None:
    deployed.document()
    deployed.flush()
    assert output(run, "replay", "documents-dlq/0/0")["topics"] == {"documents": 1}
    again = output(run, "replay", "documents-dlq/0/0")
    assert (again["replayed"], [each["how"] for each in again["already"]]) == ([], ["replayed"])
    assert "documents-dlq/0/0 already" in run("dlq", "replay", "documents-dlq/0/0").output
    assert output(run, "replay", "--all")["already"] == []
    assert len(deployed.written("documents")) == 1
    (shown,) = output(run, "show", "documents-dlq/0/0")["letters"]
    assert shown["settled"]["how"] == "replayed"


@pytest.mark.stack
def test_late_questions_wait_to_be_named(run: Run, deployed: Deployment) -> None:
    deployed.question("late", NOW)
    deployed.question("early", datetime.now(UTC) + timedelta(hours=1))
    deployed.flush()
    assert output(run, "replay", "--all", "--dry-run")["late"] == ["queries-dlq/0/0"]
    said = run("dlq", "replay", "--all").output
    assert "left out  1 letter of questions past their deadline: 1 too-large" in said
    assert "past: nobody waits" in run("dlq", "show", "queries-dlq/0/0").output
    assert output(run, "replay", "queries-dlq/0/0")["topics"] == {"queries": 1}
    assert {key for key, _, _ in deployed.written("queries")} == {b"early", b"late"}


@pytest.mark.stack
def test_what_nobody_reads_is_refused_with_the_reason(
    run: Run, deployed: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADWATER_INGEST_SEGMENTS", "chunk+embed+upsert")
    deployed.letter("chunks", "acme/d1", b"{}", "headwater.chunks-extracted.v1", stage="embed", source_offset="5")
    deployed.flush()
    result = run("dlq", "replay", "--all")
    assert result.exit_code == 1
    assert "no stage reads 'chunks' under the present segments, nor 'chunks'" in result.output
    assert output(run, "replay", "--all", "--dry-run", code=1)["refused"][0]["id"] == "chunks-dlq/0/0"
    assert len(output(run, "list")["letters"]) == 1


@pytest.mark.stack
def test_letters_between_stages_that_are_fused_now_send_their_document_once_more(
    run: Run, deployed: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADWATER_INGEST_SEGMENTS", "chunk+embed+upsert")
    source = f"{deployed.settings.topic_prefix}documents"
    deployed.write(source, "acme/d1", b'{"a": "document"}', partition=2)
    for number in range(3):
        about = {"source_topic": source, "source_partition": "2", "source_offset": "0", "detail": f"slice {number}"}
        deployed.letter("chunks", "acme/d1", b"{}", "headwater.chunks-extracted.v1", stage="embed", **about)
    deployed.flush()
    dry = run("dlq", "replay", "--all", "--dry-run").output.splitlines()
    assert dry[0].startswith(
        "replay    chunks-dlq/0/0, chunks-dlq/0/1, chunks-dlq/0/2 to documents, as record documents/2/0"
    )
    assert dry[-1] == "3 letters would be replayed: 1 record to documents"
    assert output(run, "replay", "--all")["replayed"][0]["source"] == "documents/2/0"
    (_, value, _), (key, again, headers) = sorted(deployed.written("documents"), key=lambda each: len(each[2]))
    assert (key, again) == (b"acme/d1", value)
    assert [failure["detail"] for failure in json.loads(dict(headers)["hw-history"] or b"")] == ["slice 2"]
    assert output(run, "list")["letters"] == []


@pytest.mark.stack
def test_drop_asks_then_deletes(run: Run, deployed: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(4):
        deployed.document(f"d{number}")
    deployed.flush()
    piped = run("dlq", "drop", "--all")
    assert piped.exit_code == 2
    assert "say --yes" in piped.output
    with monkeypatch.context() as patched:
        patched.setattr(dlq, "_is_watched", lambda: True)
        assert run("dlq", "drop", "--all", stdin="n\n").exit_code == 1
        assert len(output(run, "list")["letters"]) == 4
        assert run("dlq", "drop", "documents-dlq/0/1", stdin="y\n").exit_code == 0
    assert len(deployed.written("documents-dlq")) == 4
    named = run("dlq", "drop", "documents-dlq/0/1").output.splitlines()
    assert named[0].startswith("dropped   documents-dlq/0/1 already, at ")
    assert named[1] == "0 letters dropped; 0 deleted from the broker"
    assert output(run, "drop", "documents-dlq/0/1")["already"][0]["how"] == "dropped"
    assert output(run, "drop", "--document", "acme/d0", "--yes") == {
        "dropped": ["documents-dlq/0/0"],
        "deleted": 2,
        "already": [],
    }
    assert len(deployed.written("documents-dlq")) == 2
    assert output(run, "drop", "--all", "--yes") == {
        "dropped": ["documents-dlq/0/2", "documents-dlq/0/3"],
        "deleted": 2,
        "already": [],
    }
    assert deployed.written("documents-dlq") == []
    assert output(run, "drop", "--all", "--yes") == {"dropped": [], "deleted": 0, "already": []}


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["replay"], "--all"),
        (["drop", "--all", "documents-dlq/0/1"], "--all"),
        (["replay", "--code", "a", "documents-dlq/0/1"], "--code"),
        (["replay", "17"], "'17' is no letter's id"),
        (["show", "documents-dlq/\u0663/1"], "is no letter's id"),
        (["show", "documents/0/17"], "letters lie in documents-dlq"),
        (["list", "--code", "unreadble"], "'unreadble' is none of the codes: did you mean 'unreadable'? schema, "),
        (
            ["drop", "--stage", "chnk", "--yes"],
            "did you mean 'chunk'? chunk, embed, upsert, retrieve, rerank, generate",
        ),
    ],
)
def test_a_wrong_selection_is_said(run: Run, arguments: list[str], says: str) -> None:
    result = run("dlq", *arguments)
    assert result.exit_code == 2
    assert says in result.output


@pytest.mark.parametrize("arguments", [["list"], ["replay", "--all"]])
def test_no_broker_is_one_line_and_exit_code_3(run: Run, arguments: list[str]) -> None:
    address = f"127.0.0.1:{free_ports(1)[0]}"
    result = run("--kafka", address, "dlq", *arguments)
    assert result.exit_code == 3
    assert f"no Kafka broker answers at {address}" in result.output


@pytest.mark.stack
def test_a_deployment_without_the_topic_of_marks_is_told_what_creates_it(
    run: Run, deployed: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    admin = AdminClient({**deployed.settings.kafka_config})
    name = f"{deployed.settings.topic_prefix}letters-settled"
    admin.delete_topics([name])[name].result(30)
    while name in admin.list_topics(timeout=10).topics:
        time.sleep(0.02)
    for arguments in (["list"], ["replay", "--all"]):
        result = run("dlq", *arguments)
        assert result.exit_code == 3
        assert f"{name!r} is not on the broker" in result.output
        assert "`headwater topics apply` creates it" in result.output
    assert f"{name}: create with" in run("topics", "check").output
    assert run("topics", "apply").exit_code == 0
    assert run("dlq", "list").exit_code == 0


@pytest.mark.stack
@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGKILL])
def test_a_replay_that_is_ended_in_the_middle_is_finished_by_the_next(
    run: Run, deployed: Deployment, tmp_path: Path, signum: signal.Signals
) -> None:
    for number in range(300):
        deployed.document(f"d{number}")
    deployed.flush()
    command = [sys.executable, "-m", "streams", "dlq", "replay", "--all", "--rate", "40"]
    environment = os.environ | {"PYTHONPATH": str(CHECKOUT)}
    with subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True) as ended:
        while len(deployed.written("documents")) < 40:
            time.sleep(0.1)
        ended.send_signal(signum)
        said, _ = ended.communicate(timeout=60)
    written, open_letters = len(deployed.written("documents")), len(output(run, "list")["letters"])
    assert 0 < open_letters < 300
    if signum == signal.SIGINT:
        assert ended.returncode == 130
        assert f"interrupted with {open_letters} letters to go" in said
        assert written == 300 - open_letters
    assert 300 <= written + open_letters <= 300 + 20  # what was under way when it was killed
    assert len(output(run, "replay", "--all")["replayed"]) == open_letters
    counts = Counter(key for key, _, _ in deployed.written("documents"))
    assert len(counts) == 300
    assert sum(counts.values()) == written + open_letters


@pytest.mark.stack
def test_two_replays_at_once_write_each_record_once(run: Run, deployed: Deployment, tmp_path: Path) -> None:
    for number in range(200):
        deployed.document(f"d{number}")
    deployed.flush()
    command = [sys.executable, "-m", "streams", "dlq", "replay", "--all", "--rate", "200", "--json"]
    environment = os.environ | {"PYTHONPATH": str(CHECKOUT)}
    both = [
        subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True) for _ in range(2)
    ]
    replayed = [len(json.loads(each.communicate(timeout=100)[0])["replayed"]) for each in both]
    assert sum(replayed) == 200
    assert set(Counter(key for key, _, _ in deployed.written("documents")).values()) == {1}
    assert output(run, "list")["letters"] == []
