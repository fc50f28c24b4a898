import asyncio
import threading
from collections.abc import Sequence

import numpy as np
import pytest

from processors.backends.embedded.microbatch import MicroBatcher, Tokens
from processors.ports import Vectors
from processors.turns import WHOSE, Whose


class Model:
    """Answers with each text's first token, and holds every batch until it is let go."""

    def __init__(self) -> None:
        self.batches: list[list[Tokens]] = []
        self.go = threading.Event()

    def __call__(self, texts: Sequence[Tokens]) -> Vectors:
        self.batches.append(list(texts))
        assert self.go.wait(10)
        if any(tokens[0] == 666 for tokens in texts):
            raise ValueError("the number of the beast")
        return np.array([[tokens[0]] for tokens in texts], np.float32)


async def started(model: Model, batches: int) -> None:
    for _ in range(10_000):
        if len(model.batches) >= batches:
            return
        await asyncio.sleep(0.001)
    raise AssertionError(f"{len(model.batches)} batches, not {batches}")


async def test_a_lone_text_does_not_wait_for_company() -> None:
    model = Model()
    model.go.set()
    batcher = MicroBatcher(model, lanes=1)
    assert (await batcher.run([[7]], role="query")).tolist() == [[7]]
    await batcher.close()


async def test_a_text_that_comes_just_as_the_only_lane_ends_is_not_forgotten() -> None:
    model = Model()
    model.go.set()
    batcher = MicroBatcher(model, lanes=1)
    async with asyncio.timeout(10):
        for number in range(3):
            assert (await batcher.run([[number]], role="query")).tolist() == [[number]]
    await batcher.close()


async def test_what_arrives_while_the_model_is_busy_becomes_one_batch_sorted_by_length() -> None:
    model = Model()
    batcher = MicroBatcher(model, lanes=1)
    first = asyncio.create_task(batcher.run([[0]], role="passage"))
    await started(model, 1)
    later = [asyncio.create_task(batcher.run([[n] * n], role="passage")) for n in (5, 1, 3)]
    await asyncio.sleep(0)
    model.go.set()
    results = await asyncio.gather(first, *later)
    assert [result.tolist() for result in results] == [[[0]], [[5]], [[1]], [[3]]]
    assert [len(tokens) for tokens in model.batches[1]] == [1, 3, 5]
    await batcher.close()


async def test_batches_stay_within_their_tokens_padding_included() -> None:
    model = Model()
    model.go.set()
    batcher = MicroBatcher(model, lanes=1, batch_tokens=40)
    texts = [[n] * n for n in (30, 2, 20, 19, 3, 50, 1)]
    rows = await batcher.run(texts, role="passage")
    assert rows[:, 0].tolist() == [30, 2, 20, 19, 3, 50, 1]
    assert all(len(batch) == 1 or len(batch) * max(map(len, batch)) <= 40 for batch in model.batches)
    assert [[50] * 50] in model.batches
    await batcher.close()


async def test_queries_go_ahead_of_passages() -> None:
    model = Model()
    batcher = MicroBatcher(model, lanes=1, batch_tokens=4)
    passages = asyncio.create_task(batcher.run([[1] * 4, [2] * 4, [3] * 4], role="passage"))
    await started(model, 1)
    query = asyncio.create_task(batcher.run([[9] * 4], role="query"))
    await asyncio.sleep(0)
    model.go.set()
    await asyncio.gather(passages, query)
    assert [batch[0][0] for batch in model.batches] == [1, 9, 2, 3]
    await batcher.close()


async def test_a_failing_batch_fails_its_own_calls_and_no_others() -> None:
    model = Model()
    model.go.set()
    batcher = MicroBatcher(model, lanes=1, batch_tokens=1)
    bad, good = await asyncio.gather(
        batcher.run([[666]], role="passage"), batcher.run([[1]], role="passage"), return_exceptions=True
    )
    assert isinstance(bad, ValueError)
    assert not isinstance(good, BaseException)
    assert good.tolist() == [[1]]
    await batcher.close()


async def test_a_short_queue_is_shared_between_idle_lanes() -> None:
    model = Model()
    batcher = MicroBatcher(model, lanes=2)
    call = asyncio.create_task(batcher.run([[1], [2], [3], [4]], role="passage"))
    await started(model, 2)
    model.go.set()
    await call
    assert sorted(len(batch) for batch in model.batches) in ([2, 2], [1, 1, 2])
    await batcher.close()


async def test_closing_ends_what_waits() -> None:
    model = Model()
    batcher = MicroBatcher(model, lanes=1, batch_tokens=1)
    waiting = asyncio.create_task(batcher.run([[1], [2]], role="passage"))
    await started(model, 1)
    asyncio.get_running_loop().call_later(0.05, model.go.set)
    await batcher.close()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert len(model.batches) == 1


async def test_another_tenant_s_text_is_in_the_next_batch_however_many_wait() -> None:
    ran: list[list[int]] = []

    def model(texts: Sequence[Tokens]) -> Vectors:
        ran.append([text[0] for text in texts])
        return np.zeros((len(texts), 1), np.float32)

    batcher = MicroBatcher(model, lanes=1, batch_tokens=40)

    async def run(tenant: str, *firsts: int) -> None:
        WHOSE.set(Whose(tenant))
        await batcher.run([[first] * 10 for first in firsts], role="passage")

    crowd = [asyncio.create_task(run("a", *range(number * 20, number * 20 + 20))) for number in range(5)]
    await asyncio.sleep(0)
    late = asyncio.create_task(run("b", 1000))
    await late
    assert 1000 in [*ran[0], *ran[1]]
    await asyncio.gather(*crowd)
    assert sorted(first for batch in ran for first in batch) == [*range(100), 1000]
    await batcher.close()
