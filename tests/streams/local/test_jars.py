"""The broker's jars: the lock is the truth."""

from pathlib import Path

import pytest

from streams.local import jars


def test_the_lock_pins_what_the_coordinates_name() -> None:
    pinned = {jar.coordinate for jar in jars.locked()}
    assert set(jars.COORDINATES) <= pinned
    assert len(pinned) == len(jars.locked())
    assert "http" not in jars.LOCK.read_text()


def test_an_empty_folder_misses_all(tmp_path: Path) -> None:
    assert jars.missing(tmp_path / "none") == jars.locked()


@pytest.mark.stack
def test_a_jar_with_other_content_counts_as_missing(tmp_path: Path, jar_folder: Path) -> None:
    first, second = jars.locked()[:2]
    (tmp_path / first.filename).write_bytes((jar_folder / first.filename).read_bytes())
    (tmp_path / second.filename).write_bytes((jar_folder / second.filename).read_bytes()[:-1])
    missing = jars.missing(tmp_path)
    assert first not in missing
    assert second in missing


@pytest.mark.stack
def test_nothing_is_fetched_where_all_is_there(jar_folder: Path) -> None:
    reports: list[tuple[int, int]] = []
    jars.fetch(jar_folder, lambda done, total: reports.append((done, total)))
    assert reports == []
