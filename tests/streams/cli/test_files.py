"""Which files a command line means."""

import os
from pathlib import Path

import pytest

from streams.cli.files import Found, Hidden, Unreadable, find, typed


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in ("a.md", "sub/b.md", "sub/deep/c.txt", ".hidden/d.md", "sub/.e.md"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("text")
    return tmp_path


def ids(*arguments: Path | str) -> list[str]:
    return [entry.document_id for entry in find([str(a) for a in arguments]) if isinstance(entry, Found)]


def reasons(*arguments: Path | str) -> dict[str, str]:
    found = find([str(argument) for argument in arguments])
    return {entry.path.name: entry.reason for entry in found if isinstance(entry, Unreadable)}


def test_a_folder_is_read_recursively_without_hidden_entries(tree: Path) -> None:
    assert ids(tree) == ["a.md", "sub/b.md", "sub/deep/c.txt"]


def test_ids_do_not_depend_on_where_the_command_runs(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tree.parent)
    assert ids(tree) == ids(tree.name) == ids(f"./{tree.name}/")


def test_what_is_hidden_is_named_and_a_folder_without_files_is_reported(tree: Path) -> None:
    assert [entry.path.name for entry in find([str(tree)]) if isinstance(entry, Hidden)] == [".hidden", ".e.md"]
    (tree / "empty").mkdir()
    (tree / "dark").mkdir()
    (tree / "dark" / ".git").touch()
    assert reasons(tree / "empty", tree / "dark") == {
        "empty": "there is no file in it",
        "dark": "there are only hidden files in it",
    }


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.MD", b"text", None),
        ("a.pdf", b"text", None),
        ("a.log", b"text", None),
        ("Makefile", b"text", None),
        ("a.bak", b"%PDF-1.4", None),
        ("a.old", b"PK\x03\x04", None),
        ("a.py", b"text", "unknown type '.py'"),
        ("a.tar.gz", b"\x1f\x8b", "unknown type '.gz'"),
        ("program", b"\x7fELF\0", "no text"),
    ],
)
def test_a_type_that_nothing_reads_is_told_by_name_and_beginning(
    tmp_path: Path, name: str, content: bytes, reason: str | None
) -> None:
    (tmp_path / name).write_bytes(content)
    found = Found(tmp_path / name, name)
    seen = typed(found)
    assert seen == found if reason is None else (seen.path, getattr(seen, "reason", "")) == (found.path, reason)


def test_a_file_is_called_by_its_name(tree: Path) -> None:
    assert ids(tree / "sub/deep/c.txt", tree / ".hidden/d.md") == ["c.txt", "d.md"]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("*.md", ["a.md"]),
        ("**/*.md", ["a.md", "sub/b.md"]),
        ("sub/**", ["b.md", "deep/c.txt"]),
        ("*/*.md", ["sub/b.md"]),
        (".hidden/*", ["d.md"]),
        ("[ab].md", ["a.md"]),
    ],
)
def test_patterns_are_relative_to_their_fixed_part(tree: Path, pattern: str, expected: list[str]) -> None:
    assert ids(f"{tree}/{pattern}") == expected


def test_a_file_whose_name_looks_like_a_pattern_is_that_file(tree: Path) -> None:
    (tree / "[draft].md").write_text("text")
    assert ids(tree / "[draft].md") == ["[draft].md"]


def test_what_cannot_be_read_is_reported_beside_its_neighbours(tree: Path) -> None:
    (tree / "empty.txt").touch()
    os.mkfifo(tree / "pipe")
    (tree / "dangling").symlink_to("nowhere")
    (tree / "sub" / "loop").symlink_to(tree)
    assert ids(tree) == ["a.md", "sub/b.md", "sub/deep/c.txt"]
    assert reasons(tree, tree / "missing.md", f"{tree}/*.nothing") == {
        "empty.txt": "the file is empty",
        "pipe": "not a regular file",
        "dangling": "No such file or directory",
        "loop": "a link to a folder that contains it",
        "missing.md": "No such file or directory",
        "*.nothing": "nothing matches this pattern",
    }


def test_a_name_that_is_not_utf8_is_reported(tree: Path) -> None:
    (tree / os.fsdecode(b"caf\xe9.txt")).write_text("text")
    assert list(reasons(tree).values()) == ["the name is not UTF-8: rename the file"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_what_may_not_be_read_is_reported(tree: Path) -> None:
    (tree / "a.md").chmod(0)
    (tree / "sub").chmod(0)
    try:
        assert reasons(tree) == {"a.md": "Permission denied", "sub": "Permission denied"}
    finally:
        (tree / "sub").chmod(0o700)


def test_a_recursive_pattern_survives_a_loop(tree: Path) -> None:
    (tree / "sub" / "loop").symlink_to(tree)
    assert ids(f"{tree}/**/*.md") == ["a.md", "sub/b.md"]
