"""What was backed up comes back: the same documents, versions and answers, and nothing that was deleted."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from processors.errors import Poison
from schemas import Claim, DocumentDeleted, DocumentId, DocumentPublished, Event, Tenant, encode
from streams.backup import files as backup_files
from streams.backup.archive import Archive
from streams.backup.files import Entry, Writing, entries, files
from streams.backup.forgetting import forget
from streams.backup.saving import Gap, refuse_gaps
from streams.lag import lags
from tests.servers.own import own_stack

CHECKOUT = Path(__file__).parent.parent.parent
DOCUMENTS = CHECKOUT / "examples" / "documents"
QUESTION = "At what wind speed must the dome be closed?"
PATIENCE_S = 120.0
AT = datetime(2026, 11, 21, tzinfo=UTC)
ALMANAC = f"<html><body><p>High water comes with the moon.</p><!-- {'tide ' * 120_000} --></body></html>"
"""More than a record carries, so that it travels by claim check, and little to embed."""


class Site:
    """A whole deployment, workers included, that can be lost and built anew at the same addresses."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._settings = own_stack(folder / "home")

    def run(self, *command: str) -> str:
        done = subprocess.run(
            [sys.executable, *command],
            cwd=self._folder,
            env={**os.environ, "PYTHONPATH": str(CHECKOUT), **self._settings.environment},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def headwater(self, *arguments: str) -> str:
        return self.run("-m", "streams", *arguments)

    def backed(self, verb: str) -> str:
        """The command of docs/operations/backup.md."""
        return self.headwater("backup", verb, str(self._folder / "backup"))

    def lose(self) -> None:
        """Everything but the backup; what comes next keeps its objects elsewhere, as another region does."""
        self.headwater("down")
        shutil.rmtree(self._settings.home)
        self._settings = self._settings.model_copy(update={"objects": (self._folder / "elsewhere").as_uri()})

    def wait_idle(self) -> None:
        until = time.monotonic() + PATIENCE_S
        while (behind := lags(self._settings)) is None or any(
            behind[group] != 0 for group in ("chunk", "embed", "upsert")
        ):
            assert time.monotonic() < until, behind
            time.sleep(0.2)

    def documents(self) -> Sequence[tuple[Any, ...]]:
        listed = json.loads(self.headwater("documents", "list", "--json"))["documents"]
        return [(each["document_id"], each["version"], each["title"], each["chunk_count"]) for each in listed]

    def answer(self) -> tuple[Any, ...]:
        final = json.loads(self.headwater("ask", "--json", QUESTION).splitlines()[-1])
        cited = [(each["document_id"], each["version"], each["quote"]) for each in final["citations"]]
        assert cited
        return final["text"], cited


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    deployed = Site(tmp_path)
    deployed.headwater("up")
    try:
        yield deployed
    finally:
        deployed.headwater("down")


@pytest.mark.stack
@pytest.mark.timeout(600)
def test_all_is_lost_and_restored_from_the_backup(site: Site, tmp_path: Path) -> None:
    site.headwater("ingest", str(DOCUMENTS))
    assert "saved" in site.backed("save")

    edited = tmp_path / "edited"
    edited.mkdir()
    (edited / "lamp.md").write_text("# Lamp\n\nThe lamp of the east pier is lit at dusk.\n")
    site.headwater("ingest", str(edited))
    (edited / "lamp.md").write_text("# Lamp\n\nThe lamp of the east pier is lit at noon.\n")
    (edited / "almanac.html").write_text(ALMANAC)
    site.headwater("ingest", str(edited))
    site.headwater("documents", "delete", "night-shift.pdf")
    assert "saved 4 records" in site.backed("save")
    assert "saved 0 records" in site.backed("save")
    documents, answer = site.documents(), site.answer()
    assert "night-shift.pdf" not in [name for name, *_ in documents]

    site.lose()
    site.headwater("up")
    assert site.documents() == []
    assert "restored" in site.backed("restore")
    site.wait_idle()
    assert site.documents() == documents
    assert site.answer() == answer
    assert "noon" in site.headwater("documents", "show", "lamp.md")

    # A second time changes nothing; without what was deleted, the same comes out.
    assert "took out 1 records" in site.backed("forget")
    assert "took out 0 records" in site.backed("forget")
    site.backed("restore")
    site.wait_idle()
    assert site.documents() == documents


def test_an_empty_folder_is_no_backup(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "streams", "backup", "restore", str(tmp_path)],
        env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "holds no backup" in done.stderr


def test_a_folder_is_made_by_saving_alone(tmp_path: Path) -> None:
    with pytest.raises(Poison, match="cannot hold a backup"):
        Archive(str(tmp_path / "misspelt"))
    assert not list(tmp_path.iterdir())
    assert files(Archive(str(tmp_path / "new" / "one"), new=True)) == []


def test_files_of_others_are_passed_over(tmp_path: Path) -> None:
    archive = Archive(str(tmp_path))
    for name in ("topic/notes.jsonl.gz", "topic/0000-1-2.jsonl.gz", "0000-0000000000000000-0000000000000001.jsonl.gz"):
        archive.put(name, b"not ours")
    assert files(archive) == []


def test_what_the_broker_deleted_unsaved_is_said() -> None:
    refuse_gaps({("documents", 0): 7}, {("documents", 0): 7, ("documents", 1): 3})
    with pytest.raises(Gap, match="offsets 7 to 9 of partition 0"):
        refuse_gaps({("documents", 0): 7}, {("documents", 0): 9})


def published(name: str, *, version: int, content: str) -> DocumentPublished:
    return DocumentPublished(
        tenant=Tenant("default"),
        document_id=DocumentId(name),
        version=version,
        published_at=AT,
        source=Claim(uri=f"s3://elsewhere/{content}", sha256=content * 64, size_bytes=1),
        media_type="text/plain",
    )


def entry(event: Event) -> Entry:
    return event.key.encode(), encode(event), [("ce_type", event.ce_type.encode())]


def test_a_partition_s_files_follow_on_each_other_and_hold_its_records_byte_for_byte(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backup_files, "FILE_BYTES", 200)
    archive = Archive(str(tmp_path))
    written: list[Entry] = [(None, bytes([number]) * 100, [("h", None), ("h", b"\xff")]) for number in range(5)]
    writing = Writing(archive, "topic", 3, first=40)
    for number, each in enumerate(written):
        writing.add(42 + 2 * number, each)
    writing.publish()
    writing.publish()
    saved = files(archive)
    assert len(saved) > 2
    assert [each.first for each in saved] == [40, *(each.end for each in saved[:-1])]
    assert saved[-1].end == 51
    assert [each for one in saved for each in entries(archive, one)] == written


def test_content_that_only_deleted_documents_name_is_forgotten(tmp_path: Path) -> None:
    archive = Archive(str(tmp_path))
    writing = Writing(archive, "topic", 0, first=0)
    for offset, (name, content) in enumerate((("gone", "a"), ("stays", "b"), ("stays", "c"))):
        archive.put(f"objects/{content * 64}", content.encode())
        writing.add(offset, entry(published(name, version=offset + 1, content=content)))
    deletion = DocumentDeleted(tenant=Tenant("default"), document_id=DocumentId("gone"), version=9, published_at=AT)
    writing.add(3, entry(deletion))
    writing.publish()
    assert forget(archive) == 1
    assert sorted(archive.names("objects")) == [f"objects/{'b' * 64}", f"objects/{'c' * 64}"]
    [saved] = files(archive)
    assert (saved.first, saved.end) == (0, 4)
    assert list(entries(archive, saved))[-1] == entry(deletion)
    assert forget(archive) == 0


def test_a_file_that_is_damaged_is_named(tmp_path: Path) -> None:
    archive = Archive(str(tmp_path))
    writing = Writing(archive, "topic", 0, first=0)
    writing.add(0, (b"k", b"v", []))
    writing.publish()
    [saved] = files(archive)
    archive.put(saved.name, archive.get(saved.name)[:-9])
    with pytest.raises(Poison, match=r"0000-0000000000000000-0000000000000001.*is damaged"):
        list(entries(archive, saved))


def test_what_the_store_refuses_says_which_backup(tmp_path: Path) -> None:
    with pytest.raises(ConnectionError, match=f"the backup at {tmp_path.as_uri()}"):
        Archive(tmp_path.as_uri()).get("nothing")
    with pytest.raises(Poison, match="ftp://somewhere"):
        Archive("ftp://somewhere")
