"""Same key in order, different keys at once, and never more in hand than the window holds."""

import asyncio
from collections import defaultdict, deque
from collections.abc import Hashable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.runtime.lanes import Lanes, Work


class Feeder:
    """Enters what there is room for, as an intake does."""

    def __init__(self, max_events: int = 4, max_bytes: int = 100) -> None:
        self.errors: list[BaseException] = []
        self.waiting: deque[tuple[Hashable, int, Work]] = deque()
        self.lanes = Lanes(max_events=max_events, max_bytes=max_bytes, on_error=self.errors.append, on_room=self.fill)

    def feed(self, *work: tuple[Hashable, int, Work]) -> None:
        self.waiting.extend(work)
        self.fill()

    def fill(self) -> None:
        while self.waiting and self.lanes.has_room(self.waiting[0][1]):
            self.lanes.enter(*self.waiting.popleft())


class Gate:
    """Work that ends when it is let go, and says whether it began."""

    def __init__(self) -> None:
        self.began = False
        self.open = asyncio.Event()

    async def __call__(self) -> None:
        self.began = True
        await self.open.wait()


@settings(max_examples=50)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 60), st.integers(0, 4)), max_size=40), st.integers(1, 5))
def test_order_holds_per_key_and_the_window_is_never_exceeded(
    work: Sequence[tuple[int, int, int]], window: int
) -> None:
    async def run() -> None:
        feeder = Feeder(window, 100)
        done: dict[int, list[int]] = defaultdict(list)
        running: dict[int, int] = {}

        def one(number: int, key: int, size: int, turns: int) -> Work:
            async def do() -> None:
                assert key not in running
                running[key] = size
                assert len(running) <= window
                assert sum(running.values()) <= 100
                for _ in range(turns):
                    await asyncio.sleep(0)
                del running[key]
                done[key].append(number)

            return do

        feeder.feed(*((key, size, one(number, key, size, turns)) for number, (key, size, turns) in enumerate(work)))
        await feeder.lanes.drain()
        assert not feeder.errors
        assert sum(map(len, done.values())) == len(work)
        assert all(numbers == sorted(numbers) for numbers in done.values())

    asyncio.run(run())


async def test_a_slow_key_holds_up_nobody_else() -> None:
    feeder, slow, fast = Feeder(), Gate(), Gate()
    fast.open.set()
    feeder.feed(("a", 1, slow), ("a", 1, fast), ("b", 1, fast))
    await asyncio.sleep(0)
    assert fast.began
    slow.open.set()
    await feeder.lanes.drain()


async def test_a_full_window_has_no_room_until_something_ends() -> None:
    feeder, slow = Feeder(max_events=10, max_bytes=100), Gate()
    feeder.feed(("a", 90, slow))
    assert feeder.lanes.has_room(10)
    assert not feeder.lanes.has_room(20)
    slow.open.set()
    await feeder.lanes.drain()
    assert feeder.lanes.has_room(20)


async def test_a_record_larger_than_the_window_passes_alone() -> None:
    feeder, first, large = Feeder(max_bytes=100), Gate(), Gate()
    feeder.feed(("a", 1, first), ("b", 5_000, large))
    assert feeder.waiting
    first.open.set()
    large.open.set()
    await feeder.lanes.drain()
    assert large.began


async def test_what_a_handler_raises_is_handed_on_and_nothing_more_starts() -> None:
    async def broken() -> None:
        raise ValueError("odd")

    feeder, next_of_key = Feeder(max_events=1), Gate()
    feeder.feed(("a", 1, broken), ("a", 1, next_of_key))
    await feeder.lanes.drain()
    assert [str(error) for error in feeder.errors] == ["odd"]
    assert not feeder.lanes.has_room(1)
    assert not next_of_key.began


async def test_cancelled_work_is_no_error_and_nothing_follows_it() -> None:
    feeder, endless, behind = Feeder(max_events=1), Gate(), Gate()
    feeder.feed(("a", 1, endless), ("b", 1, behind))
    await asyncio.sleep(0)
    assert endless.began
    await feeder.lanes.cancel()
    assert not feeder.errors
    assert not behind.began


@pytest.mark.parametrize("key", [None, b"k", 7])
async def test_any_hashable_is_a_key(key: Hashable) -> None:
    feeder, work = Feeder(), Gate()
    work.open.set()
    feeder.feed((key, 1, work))
    await feeder.lanes.drain()
    assert work.began
