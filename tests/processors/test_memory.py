"""The memory limit that other limits follow."""

import os
from pathlib import Path

from processors.memory import limit_bytes

PHYSICAL = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def grouped(root: Path, groups: str, limits: dict[str, str]) -> int:
    """The limit of a process in `groups`, under a mount with these files."""
    (root / "cgroup").write_text(groups)
    for name, text in limits.items():
        (root / "mount" / name).parent.mkdir(parents=True, exist_ok=True)
        (root / "mount" / name).write_text(text)
    return limit_bytes(groups=root / "cgroup", mount=root / "mount")


def test_this_machine_has_memory_and_never_more_than_it_has() -> None:
    assert 2**26 < limit_bytes() <= PHYSICAL


def test_the_lowest_limit_above_the_process_counts(tmp_path: Path) -> None:
    limits = {"pods/a/memory.max": "max\n", "pods/memory.max": "536870912\n", "memory.max": "1073741824\n"}
    assert grouped(tmp_path, "0::/pods/a\n", limits) == 536_870_912


def test_a_group_seen_from_inside_its_container_has_no_path(tmp_path: Path) -> None:
    assert grouped(tmp_path, "0::/\n", {"memory.max": "268435456\n"}) == 268_435_456


def test_version_one_names_its_controllers(tmp_path: Path) -> None:
    groups = "5:cpu,cpuacct:/docker/f00\n4:memory:/docker/f00\n0::/\n"
    assert grouped(tmp_path, groups, {"memory/memory.limit_in_bytes": "134217728\n"}) == 134_217_728


def test_no_limit_is_the_machines_memory(tmp_path: Path) -> None:
    unlimited = {"memory.max": "max\n", "memory/memory.limit_in_bytes": "9223372036854771712\n"}
    assert grouped(tmp_path, "1:memory:/\n0::/\n", unlimited) == PHYSICAL
    assert limit_bytes(groups=tmp_path / "none") == PHYSICAL
