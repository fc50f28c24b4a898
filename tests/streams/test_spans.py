"""The span store: many writers, bounded size, and a file that somebody broke."""

import multiprocessing
import sqlite3
from pathlib import Path

import pytest

from streams.spans import SpanStore, StoredSpan


def span(trace: int, number: int = 0, **more: object) -> StoredSpan:
    values = {
        "trace_id": f"{trace:032x}",
        "span_id": f"{number:016x}",
        "parent_id": None,
        "name": "work",
        "service": "headwater-test",
        "kind": "internal",
        "start_ns": trace * 1000 + number,
        "end_ns": trace * 1000 + number + 10,
    }
    return StoredSpan(**values | more)  # type: ignore[arg-type]


def write(path: Path, process: int) -> None:
    store = SpanStore(path)
    for trace in range(20):
        store.add([span(process * 100 + trace, number) for number in range(5)])


def test_a_trace_comes_back_as_it_was_stored(tmp_path: Path) -> None:
    store = SpanStore(tmp_path / "spans.db")
    stored = [span(1, 1, error="late", attributes={"n": 1}), span(1, 2, parent_id=f"{1:016x}", query_id="q")]
    store.add(stored)
    assert store.trace(stored[0].trace_id) == stored


def test_several_processes_write_at_once(tmp_path: Path) -> None:
    path = tmp_path / "spans.db"
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=write, args=(path, number)) for number in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert [writer.exitcode for writer in writers] == [0] * 4
    store = SpanStore(path)
    assert len(store.find("", limit=1000)) == 80
    assert len(store.trace(f"{319:032x}")) == 5


def test_the_newest_traces_are_kept(tmp_path: Path) -> None:
    store = SpanStore(tmp_path / "spans.db", max_traces=10)
    store.add([span(number) for number in range(25)])
    SpanStore(tmp_path / "spans.db", max_traces=10).add([span(25)])
    assert store.find("", limit=100) == [f"{number:032x}" for number in range(25, 15, -1)]
    assert store.trace(f"{3:032x}") == []


def test_the_file_stays_below_its_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streams.spans.PRUNE_EVERY_S", -1.0)
    path = tmp_path / "spans.db"
    store = SpanStore(path, max_bytes=400_000)
    for number in range(300):
        store.add([span(number, attributes={"text": "x" * 8000})])
    assert path.stat().st_size < 600_000
    assert store.newest() == f"{299:032x}"


def test_a_trace_is_found_by_the_beginning_of_its_id_or_of_its_question_s(tmp_path: Path) -> None:
    store = SpanStore(tmp_path / "spans.db")
    store.add([span(0xAB << 120, start_ns=1, end_ns=2), span(2, query_id="q1"), span(3, query_id="q10")])
    assert store.find("ab") == [f"{0xAB << 120:032x}"]
    assert store.find("q10") == [f"{3:032x}"]
    assert store.find("q1") == [f"{2:032x}"], "an exact id wins over those that begin with it"
    assert store.find("q") == [f"{3:032x}", f"{2:032x}"]
    assert store.find("nothing") == []


@pytest.mark.parametrize("damage", [b"no database at all" * 100, b"SQLite format 3\x00" + b"\xff" * 5000])
def test_a_damaged_file_is_put_aside_and_replaced(
    tmp_path: Path, damage: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "spans.db"
    path.write_bytes(damage)
    store = SpanStore(path)
    store.add([span(1)])
    assert store.newest() == f"{1:032x}"
    assert (tmp_path / "spans.damaged").read_bytes() == damage
    assert "span store replaced" in caplog.text


def test_a_store_that_is_not_there_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="a first question make one"):
        SpanStore(tmp_path / "nothing.db").newest()


def test_a_folder_that_cannot_be_written_is_an_error_of_the_database(tmp_path: Path) -> None:
    (tmp_path / "spans.db").mkdir()
    with pytest.raises(sqlite3.OperationalError):
        SpanStore(tmp_path / "spans.db").add([span(1)])
