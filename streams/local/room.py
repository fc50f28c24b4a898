"""Room on the disk: whether the parts of the local stack can write."""

import os
import shutil
from pathlib import Path

MIN_FREE_BYTES = 16 * 1024 * 1024
"""With less, the broker ends at its next segment, and whatever starts ends again."""


def shortage(home: Path) -> str:
    """What to tell where nothing can be written in `home`, whose disk is full, or read-only; empty where it can."""
    if is_read_only(home):
        return f"the disk of {str(home)!r} is read-only: make it writable"
    free_bytes = shutil.disk_usage(home).free
    if free_bytes >= MIN_FREE_BYTES:
        return ""
    return f"the disk of {str(home)!r} is full ({free_bytes / 1e6:.1f} MB are left): free some space"


def is_read_only(folder: Path) -> bool:
    """Whether its disk takes no writes, be it mounted so or since an error of the disk."""
    return bool(os.statvfs(folder).f_flag & os.ST_RDONLY)
