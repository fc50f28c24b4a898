"""Several writers in turn: whatever they remember of a document, the highest version is seen, and nothing else."""

import time
from collections.abc import Callable, Sequence
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from processors.backends.milvus.index import MilvusIndex
from processors.backends.milvus.rows import head_of, newest_row
from processors.errors import Transient
from processors.ports import Head
from processors.upsert import Upsert
from schemas import ChunksEmbedded, DocumentDeleted, Tenant
from tests.processors.happenings import ACME, deleted, embedded, slices
from tests.processors.index_contract import HANDBOOK, find

pytestmark = pytest.mark.stack

TRIES = 3
"""Of a worker, where another one was in its way: the first mends what the second goes by."""
Content = str | None
"""None: the version is a deletion."""


async def event_of(version: int, content: Content, tenant: Tenant = ACME) -> ChunksEmbedded | DocumentDeleted:
    if content is None:
        return deleted(version=version, tenant=tenant)
    [event] = slices([content], version=version, tenant=tenant)
    return await embedded(event)


async def upsert(index: MilvusIndex, event: ChunksEmbedded | DocumentDeleted) -> None:
    """As a worker does it, which tries again."""
    for left in reversed(range(TRIES)):
        try:
            await Upsert(index)(event)
        except Transient:
            assert left, "it would be tried until the worker gives up"
        else:
            return


async def texts(index: MilvusIndex, tenant: Tenant = ACME) -> Sequence[str]:
    return [passage.text for passage in await find(index, "pump", tenant=tenant)]


contents = st.lists(st.sampled_from(["a red pump", "a blue pump", None]), min_size=5, max_size=5)
steps = st.lists(st.tuples(st.integers(1, 5), st.integers(0, 9), st.booleans()), min_size=1, max_size=8)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(contents=contents, steps=steps)
async def test_whatever_the_remembered_head_says_the_highest_version_is_seen(
    index: MilvusIndex, contents: Sequence[Content], steps: Sequence[tuple[int, int, bool]]
) -> None:
    """Versions in any order, some twice; before each, late writers have left any of the heads as the newest."""
    tenant, known, highest = Tenant(uuid4().hex), list[Head](), 0
    for version, stale, swept in steps:
        if known:
            await index._store.write_heads([newest_row(known[stale % len(known)])])
        await upsert(index, await event_of(version, contents[version - 1], tenant))
        highest = max(highest, version)
        rows = await index._heads(f"tenant == '{tenant}'", None)
        known += [head_of(row) for row in rows]
        content = contents[highest - 1]
        assert await texts(index, tenant) == ([content] if content else [])
        newest = await index.newest(tenant, {HANDBOOK: highest})
        assert newest[HANDBOOK].version == highest
        if swept:
            await sweep(index)


async def sweep(index: MilvusIndex) -> None:
    """All that was flipped until now, at once."""
    for document, head in index._unswept._heads.items():
        assert head.flipped_at.timestamp() <= time.time(), document
    await index._unswept.sweep(staleness_s=-60)


async def test_a_deletion_that_met_a_newer_version_is_superseded_at_the_second_try(index: MilvusIndex) -> None:
    for version in (1, 2, 3):
        await upsert(index, await event_of(version, "a red pump"))
    [first] = [head_of(row) for row in await index._heads("version == 1", None) if row["document"]]
    await index._store.write_heads([newest_row(first)])
    await upsert(index, await event_of(2, None))
    assert await texts(index) == ["a red pump"]


async def test_a_version_that_changes_nothing_survives_a_deletion_that_comes_between(
    index: MilvusIndex, another: Callable[[], MilvusIndex], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would have gone on with the rows that the deletion removes."""
    other = another()
    await other.open()
    await upsert(index, await event_of(1, "a red pump"))
    decided, met = index._decided, 0

    async def then_deleted(document: str) -> Head:
        nonlocal met
        newest = await decided(document)
        met += 1
        if met == 1:
            await upsert(other, await event_of(2, None))
        return newest

    monkeypatch.setattr(index, "_decided", then_deleted)
    await upsert(index, await event_of(3, "a red pump"))
    assert await texts(other) == ["a red pump"]
    assert met
    await other.close()
