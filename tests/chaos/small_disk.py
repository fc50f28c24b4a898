"""A small disk of some processes' own: they alone see it, and it is gone with the last of them."""

import errno
import os
import subprocess
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from streams.local import tether

SIZE = "64m"
BALLAST = "ballast"
MOUNT = f'mount -t tmpfs -o size={SIZE} none "$0" && exec "$@"'
APART = {True: ("unshare", "--mount"), False: ("unshare", "--user", "--map-root-user", "--mount")}
"""By whether this user is root: the namespaces in which a file system may be mounted."""


def with_disk(folder: Path, *command: str) -> Sequence[str]:
    """A command line that runs `command` with an empty disk at `folder`; it dies with this process."""
    tied = (sys.executable, tether.__file__, str(os.getpid()), *command)
    return [*APART[os.geteuid() == 0], "sh", "-c", MOUNT, str(folder), *tied]


@cache
def missing() -> str:
    """Why there can be no such disk here; empty: there can."""
    try:
        line = with_disk(Path("/mnt"), "true")
        tried = subprocess.run(line, capture_output=True, timeout=10, text=True, check=False)
    except FileNotFoundError as error:
        return f"no small disk can be mounted here: {error}"
    return f"no small disk can be mounted here: {tried.stderr.strip()}" if tried.returncode else ""


def fill(folder: Path) -> int:
    """Leave not one byte free; how many it took."""
    block = bytes(1024 * 1024)
    with (folder / BALLAST).open("ab", buffering=0) as file:
        while block:
            try:
                file.write(block)
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
                block = block[: len(block) // 2]
        return file.tell()


def free(folder: Path) -> None:
    """Make the room again that was filled."""
    (folder / BALLAST).unlink()


def remount(folder: Path, how: str) -> None:
    """`ro`: nothing can be written, whoever tries; `rw`: everything again."""
    subprocess.run(["mount", "-o", f"remount,{how}", str(folder)], check=True)
