"""How the memory of a process grows with what it has done."""

import os
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

MIB = 1024 * 1024
PER_EVENTS = 100_000
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def resident_bytes(pid: int) -> int:
    """Of one process; 0 where it is gone."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE_BYTES
    except (FileNotFoundError, ProcessLookupError):
        return 0


def children(pid: int) -> Sequence[int]:
    """The processes below this one."""
    try:
        lists = [path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/children")]
    except (FileNotFoundError, ProcessLookupError):
        return []
    own = [int(child) for text in lists for child in text.split()]
    return [*own, *(below for child in own for below in children(child))]


@dataclass(slots=True)
class Slope:
    """Samples of a process's memory by the number of events that it has finished."""

    pid: int
    warm_up: int
    """Events before which nothing counts: caches fill, and allocators find their size."""
    every: int
    """Events between two samples."""
    samples: list[tuple[int, int]] = field(default_factory=list)
    """Events, and bytes of resident memory."""

    def look(self, events: int) -> None:
        """Take a sample where one is due."""
        if not self.samples or events >= self.samples[-1][0] + self.every:
            self.samples.append((events, self.resident()))

    def resident(self) -> int:
        return resident_bytes(self.pid)

    @property
    def mib_per_100k(self) -> float:
        """Of a straight line through the samples after the warm-up, by least squares."""
        warm = [(events, size) for events, size in self.samples if events >= self.warm_up]
        line = statistics.linear_regression([events for events, _ in warm], [size for _, size in warm])
        return line.slope * PER_EVENTS / MIB

    @property
    def peak_mib(self) -> float:
        return max(size for _, size in self.samples) / MIB

    def __str__(self) -> str:
        return ", ".join(
            f"{events:,}: {size / MIB:.1f}" for events, size in self.samples[:: max(1, len(self.samples) // 20)]
        )
