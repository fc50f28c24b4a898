"""What the running parts cost."""

from collections.abc import Mapping

from streams.local.state import StackState


def resident_bytes(pid: int) -> int:
    """Memory of a process and its children; 0 where it is gone."""
    import psutil

    try:
        process = psutil.Process(pid)
        family = [process, *process.children(recursive=True)]
    except psutil.Error:
        return 0
    total = 0
    for each in family:
        try:
            total += each.memory_info().rss
        except psutil.Error:
            continue
    return total


def all_resident(seen: StackState) -> Mapping[str, int]:
    """Memory by part, the supervisor's own last."""
    parts = {part.name: resident_bytes(part.pid) for part in seen.parts.values() if part.pid}
    return parts | {"supervisor": max(0, resident_bytes(seen.pid) - sum(parts.values()))}
