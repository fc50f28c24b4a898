"""One prober per instance and machine: the others read its verdict."""

import asyncio
import multiprocessing
from pathlib import Path

from streams.pools.health import FAILURES, PATIENCE_S, PROBE_EVERY_S, STALE_S, Health
from streams.runtime.clock import SystemClock
from tests.streams.pools.clocks import SteppedClock
from tests.streams.pools.instances import Scripted

URL = "tei+http://host:1"


async def test_two_workers_that_ask_at_once_make_one_request(tmp_path: Path) -> None:
    clock, port = SteppedClock(), Scripted(URL)
    workers = [Health(tmp_path, clock) for _ in range(8)]
    await asyncio.gather(*(worker.ill(URL, port) for worker in workers))
    assert port.probes == 1
    clock.at += PROBE_EVERY_S
    await asyncio.gather(*(worker.ill(URL, port) for worker in workers))
    assert port.probes == 2


async def test_a_verdict_is_shared_and_takes_more_than_one_failure(tmp_path: Path) -> None:
    clock, port, other = SteppedClock(), Scripted(URL), Scripted(URL)
    port.ill = "the model is gone"
    for failures in range(1, FAILURES + 1):
        said = await Health(tmp_path, clock).ill(URL, port)
        assert said == (port.ill if failures == FAILURES else "")
        assert await Health(tmp_path, clock).ill(URL, other) == said
        clock.at += PROBE_EVERY_S
    assert other.probes == 0


async def test_while_another_process_probes_the_old_verdict_holds(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    locked, done = context.Event(), context.Event()
    clock, port = SystemClock(), Scripted(URL)
    await Health(tmp_path, clock).ill(URL, port)
    [verdict] = (tmp_path / "health").glob("*.json")
    verdict.unlink()
    holder = context.Process(target=_hold, args=(verdict.with_suffix(".lock"), locked, done))
    holder.start()
    try:
        assert await asyncio.to_thread(locked.wait, 30)
        assert await Health(tmp_path, clock).ill(URL, port) == ""
        assert port.probes == 1
    finally:
        done.set()
        holder.join()
    await Health(tmp_path, clock).ill(URL, port)
    assert port.probes == 2


async def test_a_verdict_of_long_ago_says_nothing(tmp_path: Path) -> None:
    clock, port = SteppedClock(), Scripted(URL)
    port.ill = "gone"
    for _ in range(FAILURES):
        await Health(tmp_path, clock).ill(URL, port)
        clock.at += PROBE_EVERY_S
    port.ill = ""
    clock.at += STALE_S
    assert await Health(tmp_path, clock).ill(URL, port) == ""


async def test_an_answer_that_never_comes_is_a_failure(tmp_path: Path) -> None:
    class Silent(Scripted):
        async def healthy(self) -> None:
            async with asyncio.timeout(0):  # as if its time were over
                await asyncio.Event().wait()

    clock = SteppedClock()
    for _ in range(FAILURES):
        said = await Health(tmp_path, clock).ill(URL, Silent(URL))
        clock.at += PROBE_EVERY_S
    assert said == f"no answer to a health request in {PATIENCE_S:.0f} s"


async def test_where_nothing_can_be_locked_nobody_is_asked_and_nobody_ill(tmp_path: Path) -> None:
    (tmp_path / "health").write_text("where a folder should be, as on a disk that takes no files")
    clock, port = SteppedClock(), Scripted(URL)
    assert await Health(tmp_path, clock).ill(URL, port) == ""
    assert port.probes == 0


def _hold(lock: Path, locked: "multiprocessing.synchronize.Event", done: "multiprocessing.synchronize.Event") -> None:
    import fcntl

    with lock.open("r+") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        locked.set()
        done.wait(60)
