"""The slope of memory tells a process that keeps what an event leaves behind from one that does not."""

import os
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import pytest

from tests.chaos.memory_slope import MIB, Slope
from tests.chaos.test_13_soak import LENIENT_MIB_PER_100K, MIB_PER_100K

EVENTS = 20_000
LEAK_BYTES = 4_000
"""More than the allocator has left after the start."""


@pytest.mark.parametrize("keeps", [True, False])
def test_a_process_that_keeps_something_of_each_event_is_found(keeps: bool) -> None:
    # In a process of its own: this one may have room left from other tests.
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as processes:
        found = processes.submit(mib_per_100k, keeps).result()
    assert (found > LENIENT_MIB_PER_100K) is keeps


def mib_per_100k(keeps: bool) -> float:
    """Of a process that keeps what it allocates for each event, or does not."""
    slope, kept = Slope(os.getpid(), warm_up=EVENTS // 2, every=500), []
    for number in range(EVENTS):
        left = bytearray(number.to_bytes(4, "big") * (LEAK_BYTES // 4))
        if keeps:
            kept.append(left)
        slope.look(number)
    return slope.mib_per_100k


class Kept(Slope):
    """A process that keeps eleven bytes of each event."""

    def resident(self) -> int:
        return 300 * MIB + 11 * self.samples[-1][0] if self.samples else 300 * MIB


def test_eleven_bytes_of_each_of_a_million_events_are_more_than_is_promised() -> None:
    slope = Kept(0, warm_up=100_000, every=2_500)
    for number in range(0, 1_000_001, 500):
        slope.look(number)
    assert MIB_PER_100K < slope.mib_per_100k < 1.1 * MIB_PER_100K
