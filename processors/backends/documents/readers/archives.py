"""Looks into zip archives before anything unpacks them."""

import io
import zipfile
import zlib
from collections.abc import Sequence
from itertools import pairwise
from typing import Final

from processors.errors import Poison

MAX_UNPACKED_BYTES: Final = 200 * 1024 * 1024
"""An Office file of 833 KB that unpacked to 215 MB kept unstructured busy for over 75 s in 2 GB."""
MAX_MEMBER_BYTES: Final = 100 * 1024 * 1024
"""A part is read whole; as a tree of XML it takes about ten times its size."""
MAX_RATIO: Final = 100
"""XML of real Office files packs 5 to 30 times; a bomb thousands of times."""
RATIO_MATTERS_BYTES: Final = 16 * 1024 * 1024
"""Below this size a high ratio is harmless."""
MAX_MEMBERS: Final = 20_000
ENTRY: Final = b"PK\x01\x02"
LOCAL_HEADER_BYTES: Final = 30
PACKED: Final = (b"PK\x03\x04", b"\x1f\x8b", b"7z\xbc\xaf", b"Rar!", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd")
"""How archives and compressed files begin."""
UNREAD: Final = ("/embeddings/", "/media/")
"""Where Office keeps the sheets behind charts, and pictures: often packed, and never opened by a reader."""


def names(data: bytes, filename: str) -> list[str]:
    """The archive's member names, after its sizes were found sane.

    Nothing is unpacked for that but the first bytes of each member. The sizes in its directory can be relied on: the
    standard library, through which all readers go, unpacks no more of a member than they say.
    Poison: `unreadable`, `too-large`, `encrypted`, `decompression-bomb`, `nested-archive`.
    """
    # Before the directory is read: each entry becomes an object of half a kilobyte.
    if (entries := data.count(ENTRY)) > MAX_MEMBERS:
        raise _too_large(filename, f"has {entries:,} parts; at most {MAX_MEMBERS:,}")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = archive.infolist()
            if any(member.flag_bits & 0x1 for member in members):
                raise Poison("encrypted", f"{filename!r} is a zip archive with a password: publish it without one")
            _check_sizes(members, len(data), filename)
            _check_contents(archive, filename)
    except (zipfile.BadZipFile, zlib.error, ValueError, NotImplementedError, OSError, EOFError) as error:
        raise Poison(
            "unreadable", f"{filename!r} is a damaged or cut-off zip archive ({error}): send it again"
        ) from None
    return [member.filename for member in members]


def _check_sizes(members: Sequence[zipfile.ZipInfo], packed: int, filename: str) -> None:
    unpacked = sum(member.file_size for member in members)
    if unpacked > RATIO_MATTERS_BYTES and unpacked > MAX_RATIO * packed:
        raise _bomb(
            filename, f"unpacks from {packed:,} bytes to {unpacked:,}; at most {MAX_RATIO} times its size is read"
        )
    for one, two in pairwise(sorted(members, key=lambda member: member.header_offset)):
        if one.header_offset + LOCAL_HEADER_BYTES + one.compress_size > two.header_offset:
            raise _bomb(filename, f"has parts that share their bytes: {one.filename!r} and {two.filename!r}")
    largest = max((member.file_size for member in members), default=0)
    if largest > MAX_MEMBER_BYTES:
        raise _too_large(filename, f"has a part of {largest:,} bytes; at most {MAX_MEMBER_BYTES:,}")
    if unpacked > MAX_UNPACKED_BYTES:
        raise _too_large(filename, f"unpacks to {unpacked:,} bytes; at most {MAX_UNPACKED_BYTES:,}")


def _check_contents(archive: zipfile.ZipFile, filename: str) -> None:
    for member in archive.infolist():
        if member.is_dir() or any(folder in member.filename for folder in UNREAD):
            continue
        with archive.open(member) as part:
            if part.read(8).startswith(PACKED):
                raise Poison(
                    "nested-archive",
                    f"{filename!r} has another archive in it, {member.filename!r}: publish what is in there by itself",
                )


def _bomb(filename: str, what: str) -> Poison:
    return Poison("decompression-bomb", f"{filename!r} {what}: save it anew, or split it")


def _too_large(filename: str, what: str) -> Poison:
    return Poison("too-large", f"{filename!r} {what}: split it")
