"""What the running parts cost."""

from collections.abc import Mapping

from streams.local.state import StackState


def memory_bytes(pid: int) -> int:
    """Memory of a process and its children, what they share counted once; 0 where it is gone."""
    import psutil

    try:
        process = psutil.Process(pid)
        family = [process, *process.children(recursive=True)]
    except psutil.Error:
        return 0
    total = 0
    for each in family:
        try:
            total += each.memory_full_info().pss
        except psutil.Error:
            continue
    return total


def all_memory(seen: StackState) -> Mapping[str, int]:
    """Memory by part, the supervisor's own last."""
    parts = {part.name: memory_bytes(part.pid) for part in seen.parts.values() if part.pid}
    return parts | {"supervisor": max(0, memory_bytes(seen.pid) - sum(parts.values()))}
