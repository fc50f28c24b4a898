"""Same key in order, different keys at once, and never more in hand than the window holds."""

import asyncio
from collections import defaultdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.runtime.lanes import Lanes


def lanes(max_events: int = 4, max_bytes: int = 100) -> tuple[Lanes, list[BaseException]]:
    errors: list[BaseException] = []
    return Lanes(max_events=max_events, max_bytes=max_bytes, on_error=errors.append), errors


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 60), st.integers(0, 4)), max_size=40), st.integers(1, 5))
def test_order_holds_per_key_and_the_window_is_never_exceeded(work: list[tuple[int, int, int]], window: int) -> None:
    async def run() -> None:
        these, errors = lanes(window, 100)
        done: dict[int, list[int]] = defaultdict(list)
        running: set[int] = set()

        async def one(number: int, key: int, turns: int) -> None:
            assert key not in running
            running.add(key)
            assert len(running) <= window
            for _ in range(turns):
                await asyncio.sleep(0)
            running.discard(key)
            done[key].append(number)

        for number, (key, size, turns) in enumerate(work):
            await these.submit(key, size, lambda number=number, key=key, turns=turns: one(number, key, turns))  # type: ignore[misc]
        await these.drain()
        assert not errors
        assert sum(map(len, done.values())) == len(work)
        assert all(numbers == sorted(numbers) for numbers in done.values())

    asyncio.run(run())


async def test_a_slow_key_holds_up_nobody_else() -> None:
    these, _ = lanes()
    let_go, done = asyncio.Event(), asyncio.Event()

    async def slow() -> None:
        await let_go.wait()

    async def fast() -> None:
        done.set()

    await these.submit("a", 1, slow)
    await these.submit("b", 1, fast)
    await done.wait()
    let_go.set()
    await these.drain()


async def test_a_full_window_makes_the_reader_wait() -> None:
    these, _ = lanes(max_events=10, max_bytes=100)
    let_go = asyncio.Event()

    async def slow() -> None:
        await let_go.wait()

    await these.submit("a", 90, slow)
    waiting = asyncio.create_task(these.submit("b", 20, slow))
    await asyncio.sleep(0)
    assert not waiting.done()
    let_go.set()
    await waiting
    await these.drain()


async def test_a_record_larger_than_the_window_passes_alone() -> None:
    these, _ = lanes(max_bytes=100)

    async def work() -> None:
        pass

    await asyncio.wait_for(these.submit("a", 5_000, work), 5)
    await these.drain()


async def test_what_a_handler_raises_is_handed_on_and_frees_the_window() -> None:
    these, errors = lanes(max_events=1)

    async def broken() -> None:
        raise ValueError("odd")

    await these.submit("a", 1, broken)
    await these.submit("b", 1, broken)
    await these.drain()
    assert [str(error) for error in errors] == ["odd", "odd"]


async def test_cancelled_work_is_no_error() -> None:
    these, errors = lanes()
    started = asyncio.Event()

    async def endless() -> None:
        started.set()
        await asyncio.Event().wait()

    await these.submit("a", 1, endless)
    await started.wait()
    await these.cancel()
    assert not errors


async def test_what_waits_for_room_when_all_is_cancelled_never_starts() -> None:
    these, _ = lanes(max_events=1)
    started = []

    async def endless() -> None:
        started.append("a")
        await asyncio.Event().wait()

    await these.submit("a", 1, endless)
    waiting = asyncio.create_task(these.submit("b", 1, endless))
    await asyncio.sleep(0)
    await these.cancel()
    await waiting
    await these.drain()
    assert started == ["a"]


@pytest.mark.parametrize("key", [None, b"k", 7])
async def test_any_hashable_is_a_key(key: object) -> None:
    these, _ = lanes()

    async def work() -> None:
        pass

    await these.submit(key, 1, work)
    await these.drain()
