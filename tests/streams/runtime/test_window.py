"""What waits aside holds no place in the window, and the window is never exceeded when it comes back."""

import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.runtime.lanes import Lanes, Work
from streams.runtime.window import Crowded, aside
from tests.streams.runtime.test_lanes import Feeder, Gate


@settings(max_examples=50)
@given(
    st.lists(st.tuples(st.integers(0, 9), st.integers(0, 60), st.lists(st.integers(0, 4), max_size=3)), max_size=40),
    st.integers(1, 5),
)
def test_work_that_steps_aside_and_comes_back_never_exceeds_the_window(
    work: Sequence[tuple[int, int, list[int]]], window: int
) -> None:
    async def run() -> None:
        feeder = Feeder(window, 100)
        running: set[int] = set()
        done, crowded = [], []

        def one(number: int, pauses: list[int]) -> Work:
            def begin() -> None:
                running.add(number)
                assert len(running) <= window

            async def do() -> None:
                begin()
                for pause in pauses:
                    await asyncio.sleep(0)
                    try:
                        async with aside():
                            running.remove(number)
                            for _ in range(pause):
                                await asyncio.sleep(0)
                        begin()
                    except Crowded:
                        crowded.append(number)
                running.remove(number)
                done.append(number)

            return do

        feeder.feed(*((key, size, one(number, pauses)) for number, (key, size, pauses) in enumerate(work)))
        while feeder.waiting:  # noqa: ASYNC110 - the feeder tells nobody
            await asyncio.sleep(0)
        await feeder.lanes.drain()
        assert not feeder.errors
        assert sorted(done) == list(range(len(work)))
        assert feeder.lanes.has_room(100)

    asyncio.run(run())


class Waits:
    """Work that waits aside until it is let go, and then in the window."""

    def __init__(self) -> None:
        self.go, self.back = asyncio.Event(), Gate()

    async def __call__(self) -> None:
        async with aside():
            await self.go.wait()
        await self.back()


async def test_what_comes_back_goes_before_what_is_new() -> None:
    feeder = Feeder(max_events=1)
    waits, first, second = Waits(), Gate(), Gate()
    feeder.feed(("a", 1, waits), ("b", 1, first), ("c", 1, second))
    await asyncio.sleep(0)
    waits.go.set()
    for _ in range(3):
        await asyncio.sleep(0)
    assert (first.began, waits.back.began, second.began) == (True, False, False)
    first.open.set()
    for _ in range(3):
        await asyncio.sleep(0)
    assert (waits.back.began, second.began) == (True, False)
    waits.back.open.set()
    second.open.set()
    await feeder.lanes.drain()


async def test_what_others_of_its_key_wait_behind_comes_back_before_they_are_done() -> None:
    feeder = Feeder(max_events=1)
    waits, behind = Waits(), Gate()
    feeder.feed(("a", 1, waits), ("a", 1, behind))
    await asyncio.sleep(0)
    waits.go.set()
    waits.back.open.set()
    behind.open.set()
    await feeder.lanes.drain()
    assert behind.began


@pytest.mark.parametrize(
    ("window", "window_bytes", "sizes"),
    [pytest.param(1, 100, [1] * 6, id="four for each place"), pytest.param(9, 100, [60, 60], id="bytes")],
)
async def test_what_waits_aside_is_bounded(window: int, window_bytes: int, sizes: Sequence[int]) -> None:
    feeder = Feeder(window, window_bytes)
    waiting = [Waits() for _ in sizes]
    feeder.feed(*((number, size, waits) for number, (size, waits) in enumerate(zip(sizes, waiting, strict=True))))
    for _ in range(20):
        await asyncio.sleep(0)
    for waits in waiting:
        waits.go.set()
        waits.back.open.set()
    await feeder.lanes.drain()
    assert [type(error) for error in feeder.errors] == [Crowded]


async def test_work_is_cancelled_aside_and_while_it_waits_to_come_back() -> None:
    feeder = Feeder(max_events=1)
    aside_for_good, returning, holding = Waits(), Waits(), Gate()
    feeder.feed(("a", 1, aside_for_good), ("b", 1, returning), ("c", 1, holding))
    for _ in range(3):
        await asyncio.sleep(0)
    returning.go.set()
    await asyncio.sleep(0)
    await feeder.lanes.cancel()
    assert holding.began
    assert not returning.back.began
    assert not feeder.errors


async def test_after_a_failure_what_waits_aside_ends_and_nothing_new_begins() -> None:
    feeder = Feeder(max_events=1)
    waits, new = Waits(), Gate()

    async def broken() -> None:
        raise ValueError("odd")

    feeder.feed(("a", 1, waits), ("b", 1, broken), ("c", 1, new))
    for _ in range(3):
        await asyncio.sleep(0)
    waits.go.set()
    waits.back.open.set()
    await feeder.lanes.drain()
    assert [str(error) for error in feeder.errors] == ["odd"]
    assert waits.back.began
    assert not new.began


async def test_outside_of_a_window_aside_just_waits() -> None:
    async with aside():
        await asyncio.sleep(0)


async def test_work_that_is_interrupted_aside_takes_its_place_to_say_so() -> None:
    lanes = Lanes(max_events=1, max_bytes=10, on_error=lambda error: pytest.fail(str(error)))
    room: list[bool] = []

    async def waits() -> None:
        async with asyncio.timeout(0.01), aside():
            room.append(lanes.has_room(1))
            await asyncio.Event().wait()

    async def interrupted() -> None:
        with pytest.raises(TimeoutError):
            await waits()
        room.append(lanes.has_room(1))

    lanes.enter("a", 1, interrupted)
    await lanes.drain()
    assert room == [True, False]
    assert lanes.has_room(1)
