"""How much memory this process may use, so that limits follow the container they run in."""

import os
from pathlib import Path
from typing import Final

PROC: Final = Path("/proc/self/cgroup")
MOUNT: Final = Path("/sys/fs/cgroup")


def limit_bytes(*, groups: Path = PROC, mount: Path = MOUNT) -> int:
    """The lowest memory limit above this process: its control group's, a parent's, or the machine's memory.

    Control groups of version 2 (`memory.max`) and 1 (`memory.limit_in_bytes`); read anew at every call.
    """
    found = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    for line in groups.read_text().splitlines() if groups.exists() else ():
        _, controllers, path = line.split(":", 2)
        if not controllers:
            found += _limits(mount, path, "memory.max")
        elif "memory" in controllers.split(","):
            found += _limits(mount / "memory", path, "memory.limit_in_bytes")
    return min(found)


def _limits(mount: Path, path: str, name: str) -> list[int]:
    """What stands in the group's file and in those above it. In a container only the mount's own may be visible."""
    group = mount / path.lstrip("/")
    files = [folder / name for folder in (group, *group.parents) if folder.is_relative_to(mount)]
    texts = [file.read_text().strip() for file in files if file.is_file()]
    return [int(text) for text in texts if text.isdigit()]
