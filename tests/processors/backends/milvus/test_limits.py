"""A real Milvus that limits the rate of writes: told at once, and what was refused goes in later."""

from collections.abc import Iterator
from functools import partial

import pytest

from processors.backends.milvus.index import MilvusIndex
from processors.errors import Transient
from streams.runtime.clock import SystemClock
from streams.runtime.retry import Retry
from tests.processors.happenings import embedded, slices
from tests.servers import milvus

pytestmark = pytest.mark.servers

MB_PER_S = 0.03
"""A slice of 64 chunks has a third of it."""
SLICES = 8


@pytest.fixture
def limited() -> Iterator[milvus.Standalone]:
    if reason := milvus.missing():
        pytest.skip(reason)
    rates = {f"quotaAndLimits.dml.{kind}Rate.max": MB_PER_S for kind in ("insert", "upsert")}
    collection = {f"quotaAndLimits.dml.{kind}Rate.collection.max": MB_PER_S for kind in ("insert", "upsert")}
    on = {"quotaAndLimits.enabled": True, "quotaAndLimits.dml.enabled": True}
    with milvus.standalone(**on, **rates, **collection) as server:
        yield server


async def test_a_limit_of_rate_slows_an_import_down_and_loses_nothing(limited: milvus.Standalone) -> None:
    index = MilvusIndex(limited.index_url("documents"))
    await index.open()
    refused: list[Transient] = []
    events = slices([f"pump {number}" for number in range(64 * SLICES)])
    for event in events:
        write = partial(index.write, await embedded(event))
        await Retry().run(write, clock=SystemClock(), on_retry=lambda _attempt, error, _delay_s: refused.append(error))
    assert (await index.count(events[0].document)).chunks == 64 * SLICES
    await index.close()
    assert refused
    assert {error.retry_after_s for error in refused} == {1.0}
    assert all("rate limit exceeded" in error.reason and "quotaAndLimits" in error.reason for error in refused)
