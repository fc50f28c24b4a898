"""Looks into zip archives before anything unpacks them."""

import io
import zipfile

from processors.errors import Poison

MAX_UNPACKED_BYTES = 200 * 1024 * 1024
"""An Office file of 833 KB that unpacked to 215 MB kept unstructured busy for over 75 s in 2 GB."""
MAX_RATIO = 100
"""XML of real Office files packs 5 to 30 times; a bomb thousands of times."""
RATIO_MATTERS_BYTES = 16 * 1024 * 1024
"""Below this size a high ratio is harmless."""
MAX_MEMBERS = 20_000


def names(data: bytes, filename: str) -> list[str]:
    """The archive's member names, after its sizes were found sane. Poison: `unreadable`, `too-large`, `encrypted`."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = archive.infolist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError, OSError, EOFError) as error:
        raise Poison(
            "unreadable", f"{filename!r} is a damaged or cut-off zip archive ({error}): send it again"
        ) from None
    if any(member.flag_bits & 0x1 for member in members):
        raise Poison("encrypted", f"{filename!r} is a zip archive with a password: publish it without one")
    unpacked = sum(member.file_size for member in members)
    ratio = unpacked / max(1, len(data))
    if (
        unpacked > MAX_UNPACKED_BYTES
        or len(members) > MAX_MEMBERS
        or (unpacked > RATIO_MATTERS_BYTES and ratio > MAX_RATIO)
    ):
        raise Poison(
            "too-large",
            f"{filename!r} unpacks from {len(data):,} bytes to {unpacked:,} in {len(members):,} parts; at most "
            f"{MAX_UNPACKED_BYTES:,} bytes, {MAX_MEMBERS:,} parts and {MAX_RATIO} times its size are read: split it",
        )
    return [member.filename for member in members]
