"""What waits for the sweep: bounded, and nothing of it stays for ever."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from processors.backends.milvus import store, sweep
from processors.backends.milvus.index import MilvusIndex
from processors.backends.milvus.sweep import Unswept, left_behind
from tests.processors.happenings import ACME, NOON, embedded, head, slices
from tests.processors.index_contract import HANDBOOK, publish

pytestmark = pytest.mark.stack

NAMES = [f"document-{number}" for number in range(12)]


@pytest.fixture(autouse=True)
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweep, "MOST_WAITING", 4)


def waiting(index: MilvusIndex) -> list[str]:
    return [head.document_id for head in index._unswept._heads.values()]


async def chunks(index: MilvusIndex) -> int:
    return len(await index._store.query(index.name, "version >= 1", ["id"], snapshot_s=None))


async def publish_twice(index: MilvusIndex) -> None:
    """Every document, with two chunks of which one changes."""
    for version, before in ((1, None), (2, 1)):
        for name in NAMES:
            [event] = slices(["a pump", f"pump {version}"], document_id=name, version=version)
            await index.write(await embedded(event))
            await index.flip(replace(head(event), previous_rows_version=before))


async def test_an_import_that_outruns_the_sweep_keeps_no_more_than_the_last_documents(index: MilvusIndex) -> None:
    await index.sweep()
    for name in NAMES:
        await publish(index, ["a pump"], document_id=name)
    assert waiting(index) == NAMES[-4:]
    await index.sweep()
    assert waiting(index) == []
    assert await chunks(index) == len(NAMES)


async def test_what_was_forgotten_is_swept_once_there_is_room(index: MilvusIndex) -> None:
    await index.sweep()
    await publish_twice(index)
    assert waiting(index) == NAMES[-4:]
    swept = [await index.sweep() for _ in range(4)]
    assert sum(swept) == 2 * len(NAMES)
    assert await index.sweep() == 0
    assert await chunks(index) == 2 * len(NAMES)
    assert {entry.version for entry in await index.heads(ACME)} == {2}


async def test_a_worker_finds_more_left_behind_than_it_keeps(
    index: MilvusIndex, another: Callable[[], MilvusIndex]
) -> None:
    await publish_twice(index)
    successor = another()
    await successor.open()
    swept = [await successor.sweep() for _ in range(4)]
    await successor.close()
    assert (max(swept), sum(swept)) == (8, 2 * len(NAMES))


async def test_what_was_left_behind_is_read_in_pages_that_keep_a_documents_heads_together(
    index: MilvusIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    await publish_twice(index)
    monkeypatch.setattr(store, "MAX_ROWS", 4)
    superseded, _ = await left_behind(index._store, most=len(NAMES))
    assert sorted(entry.document_id for entry in superseded.values()) == sorted(NAMES)
    assert {entry.version for entry in superseded.values()} == {2}
    fewer, _ = await left_behind(index._store, most=3)
    assert len(fewer) == 4


async def test_a_document_that_is_flipped_again_waits_at_the_end(index: MilvusIndex) -> None:
    for name in (*NAMES[:4], NAMES[0], NAMES[4]):
        await publish(index, ["a pump"], document_id=name)
    assert waiting(index) == [*NAMES[2:4], NAMES[0], NAMES[4]]


async def test_what_a_search_may_not_see_yet_is_not_forgotten(index: MilvusIndex) -> None:
    unswept = Unswept(index._store)
    for name in NAMES:
        [event] = slices(["a pump"], document_id=name)
        unswept.add(name, head(event, flipped_at=datetime.now(UTC)), staleness_s=60)
    assert [name for name in NAMES if unswept.head(name)] == NAMES
    [event] = slices(["a pump"])
    await index.write(await embedded(event))
    unswept.add(HANDBOOK, head(event, flipped_at=NOON), staleness_s=0)
    assert [name for name in (*NAMES, HANDBOOK) if unswept.head(name)] == [*NAMES[-3:], HANDBOOK]
