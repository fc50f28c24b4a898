"""Which files a command line means, what each is called, and which cannot be read."""

import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from glob import glob, has_magic
from pathlib import Path

from streams.media_types import BY_SUFFIX

HEAD_BYTES = 1024
"""As far as the parser looks for a signature."""


@dataclass(frozen=True, slots=True)
class Found:
    """A file to publish."""

    path: Path
    document_id: str
    """Its path below the folder that was given, with forward slashes: the same on every run."""


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A path that cannot be published, and why."""

    path: Path
    reason: str
    code: str = "unreadable"


@dataclass(frozen=True, slots=True)
class Hidden:
    """A file or folder that is left out, because its name begins with a dot."""

    path: Path


def find(arguments: Sequence[str]) -> Iterator[Found | Unreadable | Hidden]:
    """Files, folders (recursively, without hidden entries) and glob patterns, in a stable order."""
    for argument in arguments:
        path = Path(argument)
        if not os.path.lexists(path) and has_magic(argument):
            yield from _matching(argument)
        elif path.is_dir():
            yield from _folder(path)
        else:
            yield _file(path, path.name)


def typed(file: Found) -> Found | Unreadable:
    """The file, unless neither its name nor its beginning tells a type that is read: stages would put all such aside.

    Only the parser knows for certain; what may be a PDF, an Office file or plain text is left to it.
    """
    suffix = file.path.suffix.lower()
    if suffix in BY_SUFFIX:
        return file
    try:
        with file.path.open("rb") as content:
            head = content.read(HEAD_BYTES)
    except OSError as error:
        return Unreadable(file.path, error.strerror or str(error))
    if b"%PDF-" in head or head.startswith(b"PK\x03\x04") or not (suffix or b"\0" in head):
        return file
    return Unreadable(file.path, f"unknown type {suffix!r}" if suffix else "no text", "unsupported-media-type")


def _folder(folder: Path) -> Iterator[Found | Unreadable | Hidden]:
    hidden = nothing = True
    for entry in _below(folder, folder, ()):
        hidden = hidden and isinstance(entry, Hidden)
        nothing = False
        yield entry
    if hidden:
        yield Unreadable(folder, "there is no file in it" if nothing else "there are only hidden files in it")


def _matching(pattern: str) -> Iterator[Found | Unreadable]:
    parts = Path(pattern).parts
    fixed = next(index for index, part in enumerate(parts) if has_magic(part))
    root, wanted = Path(*parts[:fixed]), parts[fixed:]
    nothing = True
    for entry in _below(root, root, ()) if "**" in wanted else _listed(pattern, root):
        if isinstance(entry, Hidden):
            continue
        if entry.path.is_dir() or _matches(entry.path.relative_to(root).parts, wanted):
            nothing = False
            yield entry
    if nothing:
        yield Unreadable(Path(pattern), "nothing matches this pattern")


def _listed(pattern: str, root: Path) -> Iterator[Found | Unreadable]:
    # Recursive patterns are not left to the standard library: it follows links in circles.
    for match in sorted(glob(pattern)):  # noqa: PTH207  # unlike Path.glob it skips hidden entries, as shells do
        if not Path(match).is_dir():
            yield _file(Path(match), Path(match).relative_to(root).as_posix())


def _matches(parts: Sequence[str], wanted: Sequence[str]) -> bool:
    match wanted:
        case []:
            return not parts
        case ["**", *rest]:
            return any(_matches(parts[skipped:], rest) for skipped in range(len(parts) + 1))
        case [pattern, *rest]:
            return bool(parts) and fnmatchcase(parts[0], pattern) and _matches(parts[1:], rest)
    raise AssertionError(wanted)


def _below(folder: Path, root: Path, ancestors: tuple[tuple[int, int], ...]) -> Iterator[Found | Unreadable | Hidden]:
    try:
        about = folder.stat()
        entries = sorted(folder.iterdir())
    except OSError as error:
        yield Unreadable(folder, error.strerror or str(error))
        return
    identity = (about.st_dev, about.st_ino)
    if identity in ancestors:
        yield Unreadable(folder, "a link to a folder that contains it")
        return
    for entry in entries:
        if entry.name.startswith("."):
            yield Hidden(entry)
        elif entry.is_dir():
            yield from _below(entry, root, (*ancestors, identity))
        else:
            yield _file(entry, entry.relative_to(root).as_posix())


def _file(path: Path, document_id: str) -> Found | Unreadable:
    try:
        about = path.stat()
    except OSError as error:
        return Unreadable(path, error.strerror or str(error))
    if not stat.S_ISREG(about.st_mode):
        return Unreadable(path, "not a regular file")
    if about.st_size == 0:
        return Unreadable(path, "the file is empty", "empty-document")
    if not os.access(path, os.R_OK):
        return Unreadable(path, "Permission denied")
    try:
        document_id.encode()
    except UnicodeEncodeError:
        return Unreadable(path, "the name is not UTF-8: rename the file")
    return Found(path, document_id)
