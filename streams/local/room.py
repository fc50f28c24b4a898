"""Room on the disk: whether the parts of the local stack can write."""

import shutil
from pathlib import Path

MIN_FREE_BYTES = 16 * 1024 * 1024
"""With less, the broker ends at its next segment, and whatever starts ends again."""


def shortage(home: Path) -> str:
    """What to tell where the disk of `home` is full, or nearly; empty where it is not."""
    free_bytes = shutil.disk_usage(home).free
    if free_bytes >= MIN_FREE_BYTES:
        return ""
    return f"the disk of {str(home)!r} is full ({free_bytes / 1e6:.1f} MB are left): free some space"
