"""Files into the pipeline: every one is accounted for, whatever becomes of it."""

import asyncio
import json
import re
from pathlib import Path

import pytest

from schemas import DocumentPublished
from streams.client import Client
from streams.tail import BrokerUnreachable
from tests.streams.cli.conftest import Run
from tests.streams.responder import Responder

pytestmark = pytest.mark.stack


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "documents"
    for name in ("good.md", "sub/same.txt", "bad.pdf"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("text")
    return folder


def test_a_folder_ends_in_a_summary_with_reasons(deployed: Run, folder: Path) -> None:
    (folder / "empty.txt").touch()
    result = deployed("ingest", str(folder))
    assert result.exit_code == 1
    lines = result.output.splitlines()
    shown = [line for line in lines if not line.startswith("ingesting: ")]  # how far it is, where it takes long
    *reports, remark, summary = shown
    assert remark.startswith("`headwater dlq list` keeps what the stages rejected")
    assert sorted(re.sub(r"version \d{13}$", "version V", report) for report in reports) == [
        f"indexed   {folder}/good.md as good.md: 3 chunks, 2 embedded, 1 reused, version V",
        f"rejected  {folder}/bad.pdf as bad.pdf: not a document: send another (unreadable)",
        f"rejected  {folder}/empty.txt: the file is empty (empty-document)",
        f"unchanged {folder}/sub/same.txt as sub/same.txt: version V",
    ]
    assert summary == "1 indexed (3 chunks: 2 embedded, 1 reused), 1 unchanged, 2 rejected"


def test_json_is_one_object_for_programs(deployed: Run, folder: Path) -> None:
    result = deployed("ingest", str(folder / "good.md"), "--id", "x/y", "--json")
    assert result.exit_code == 0
    shown = json.loads(result.output)
    assert (shown["indexed"], shown["chunks"], shown["embedded"], shown["unanswered"]) == (1, 3, 2, 0)
    assert shown["documents"][0]["document_id"] == "x/y"


def test_without_waiting_nothing_is_known_but_the_publication(deployed: Run, folder: Path) -> None:
    result = deployed("ingest", str(folder), "--no-wait")
    assert (result.exit_code, result.output.splitlines()[-1]) == (0, "3 published, 0 rejected")


def test_a_question_can_wait_for_the_version_that_was_published(deployed: Run, folder: Path) -> None:
    result = deployed("ingest", str(folder / "good.md"), "--no-wait", "--json")
    published = json.loads(result.output)["documents"][0]
    after = f"{published['document_id']}={published['version']}"
    asked = deployed("ask", "versions", "--after", after)
    assert str(published["version"]) in asked.output


def test_another_version_that_goes_is_said(deployed: Run, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    Path("again.md").write_text("text")
    result = deployed("ingest", "again.md")
    assert re.search(r"^replaced  again\.md: 3 chunks", result.output, re.MULTILINE)
    assert "reused; 1 in place of another version), 0 unchanged" in result.output.splitlines()[-1]
    assert json.loads(deployed("ingest", "again.md", "--json").output)["documents"][0]["replaces"] == 7


def test_types_that_nothing_reads_are_refused_before_they_are_published(
    deployed: Run, responder: Responder, tmp_path: Path
) -> None:
    folder = tmp_path / "repo"
    folder.mkdir()
    for number in range(30):
        (folder / f"untyped{number}.py").write_text("print()")
    (folder / "program").write_bytes(b"\x7fELF\0")
    (folder / "saved.bak").write_bytes(b"%PDF-1.4")
    result = deployed("ingest", str(folder))
    assert result.exit_code == 1
    assert result.output.count(": unknown type '.py' (unsupported-media-type)") == 30
    assert result.output.count(".txt, .text, .log, .md, ") == 1
    assert result.output.splitlines()[-1].startswith("1 indexed")
    assert not [key for key in responder.headers if "untyped" in key or key.endswith("/program")]
    assert deployed("ingest", str(folder), "--media-type", "text/plain; charset=latin-1").exit_code == 0
    assert "default/untyped0.py" in responder.headers


def test_hidden_entries_are_counted(deployed: Run, folder: Path) -> None:
    (folder / ".git").mkdir()
    (folder / "sub/.env").write_text("text")
    assert "2 hidden entries were left out" in deployed("ingest", str(folder)).output


def test_an_empty_folder_is_no_success(deployed: Run, tmp_path: Path) -> None:
    (tmp_path / "nothing").mkdir()
    result = deployed("ingest", "nothing")
    assert result.exit_code == 1
    assert "rejected  nothing: there is no file in it" in result.output


def test_giving_up_exits_with_4_and_says_how_many_are_open(deployed: Run, folder: Path) -> None:
    for number in range(3):
        (folder / f"silent{number}.txt").write_text("text")
    result = deployed("ingest", str(folder), "--timeout", "1")
    assert result.exit_code == 4
    assert "1 indexed" in result.output
    assert "3 without a receipt so far" in result.output


def test_more_documents_than_fit_in_flight_are_all_answered(deployed: Run, tmp_path: Path) -> None:
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(200):
        (folder / f"{number}.txt").write_text(str(number))
    result = deployed("ingest", str(folder))
    assert (result.exit_code, result.output.splitlines()[-1][:11]) == (0, "200 indexed")


def test_nothing_readable_is_no_success(deployed: Run) -> None:
    result = deployed("ingest", "missing.md")
    assert result.exit_code == 1
    assert "No such file or directory" in result.output


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["good.md", "bad.pdf", "--id", "one"], "names one document; 2 files were given"),
        (["good.md", "sub/../sub/good.md"], "would both be document 'good.md'"),
        (["good.md", "--metadata", "nonsense"], "is not NAME=VALUE"),
        (["good.md", "--media-type", "text/klingon"], "'text/klingon' is none that is read: application/json, "),
        (["good.md", "--profile", "poetic"], "none of technical, general, legal"),
    ],
)
def test_wrong_usage_publishes_nothing(deployed: Run, folder: Path, arguments: list[str], says: str) -> None:
    (folder / "sub/good.md").write_text("another")
    paths = [str(folder / each) if each.endswith(("md", "pdf")) else each for each in arguments]
    result = deployed("ingest", *paths)
    assert result.exit_code == 2
    assert says in result.output


def test_a_tenant_that_the_wire_forbids_rejects_every_file(deployed: Run, folder: Path) -> None:
    result = deployed("ingest", str(folder), "--tenant", "a/b")
    assert result.exit_code == 1
    assert result.output.count("tenant: ") == 3


def test_ctrl_c_says_what_is_still_under_way(deployed: Run, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("streams.cli.ingest.Ingestion.run", interrupted)
    result = deployed("ingest", str(folder))
    assert result.exit_code == 130
    assert "interrupted with 3 without a receipt" in result.stderr


@pytest.mark.parametrize("flags", [[], ["--json"]])
def test_a_broker_that_is_lost_on_the_way_leaves_word_of_what_was_published(
    deployed: Run, folder: Path, monkeypatch: pytest.MonkeyPatch, flags: list[str]
) -> None:
    published: list[int] = []
    everyone = asyncio.Barrier(3)

    async def lost(_: Client, event: DocumentPublished, **__: object) -> None:
        published.append(event.version)
        await everyone.wait()
        raise BrokerUnreachable("127.0.0.1:1")

    monkeypatch.setattr(Client, "receipt", lost)
    result = deployed("ingest", str(folder), *flags)
    assert result.exit_code == 3
    assert "no Kafka broker answers at 127.0.0.1:1" in result.stderr
    if flags:
        assert {each["version"] for each in json.loads(result.stdout)["under_way"]} == set(published)
    else:
        assert "broken off with 3 without a receipt, 3 of them published" in result.stdout
        assert all(f"version {version}\n" in result.stdout for version in published)
