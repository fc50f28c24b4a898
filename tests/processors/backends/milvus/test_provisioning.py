"""Planning and migrating the collections of a Milvus, while nobody and while somebody writes."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from processors.backends.milvus import migration as milvus_migration
from processors.backends.milvus.index import MilvusIndex
from processors.backends.milvus.provisioning import MilvusProvisioner
from processors.index_plan import Change, Expected, How, IndexPlan
from schemas import DocumentId
from streams.settings import Settings
from tests.processors.happenings import ACME, embedded, slices
from tests.processors.index_contract import HANDBOOK, find, publish
from tests.servers.milvus import Standalone

LARGE = Expected(rows=80_000_000, memory_gib=1_000)
FEW, MANY = Expected(rows=1_000), Expected(rows=1_000_000)


@pytest.fixture
async def provisioner(index: MilvusIndex, stack: Settings) -> AsyncIterator[MilvusProvisioner]:
    provisioner = MilvusProvisioner(f"{stack.index_url.rpartition('/')[0]}/{index.name}")
    await provisioner.open()
    yield provisioner
    await provisioner.close()


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(milvus_migration, "SETTLED_S", 0.2)


async def planned(provisioner: MilvusProvisioner, expected: Expected, model: str = "hashed-words") -> IndexPlan:
    return await provisioner.plan(expected, model=model, dimensions=64)


async def applied(provisioner: MilvusProvisioner, plan: IndexPlan, *hows: How) -> list[Change]:
    return list(await provisioner.apply(plan, model="hashed-words", dimensions=64, hows=hows))


def summary(plan: IndexPlan, index: MilvusIndex) -> list[tuple[str, str, str]]:
    """What is to change: the collection without its own name, the thing, and how."""
    return [(change.collection.removeprefix(index.name), change.what, change.how) for change in plan.changes]


@pytest.mark.stack
async def test_what_apply_creates_is_what_the_first_write_would_have_created(
    index: MilvusIndex, provisioner: MilvusProvisioner, another: Callable[[], MilvusIndex]
) -> None:
    assert await provisioner.dimensions() is None
    plan = await planned(provisioner, MANY)
    assert summary(plan, index) == [("", "create", "apply"), ("_heads", "create", "apply")]
    assert "HNSW over 64 dimensions, words by the server's BM25" in str(plan.changes[0])
    assert await applied(provisioner, plan, "apply") == []
    assert (await planned(provisioner, MANY)).changes == ()
    assert await index.model() == "hashed-words"
    await publish(index, ["a red pump"])
    assert [passage.text for passage in await find(index, "pump")] == ["a red pump"]
    assert (await planned(provisioner, MANY)).changes == ()


@pytest.mark.stack
async def test_another_kind_of_index_is_rebuilt_only_where_told_and_the_old_rows_stay_until_told(
    index: MilvusIndex, provisioner: MilvusProvisioner
) -> None:
    await publish(index, ["a red pump", "a blue valve"], readers=("ann",))
    plan = await planned(provisioner, FEW)
    assert [(change.what, change.current, change.wanted) for change in plan.changes] == [("index", "HNSW", "FLAT")]
    left = await applied(provisioner, plan, "apply")
    assert [change.how for change in left] == ["rebuild"]

    left = await applied(provisioner, plan, "apply", "rebuild")
    after = await planned(provisioner, FEW)
    assert summary(after, index) == [("_v1", "leftover", "drop")]
    assert left == list(after.changes)
    assert await applied(provisioner, after, "apply") == list(after.changes)
    assert await find(index, "pump") == []
    found = await find(index, "pump", principals=("ann",))
    assert [passage.text for passage in found] == ["a red pump", "a blue valve"]
    assert found[0].scores["bm25"] > 0

    await applied(provisioner, after, "drop")
    assert (await planned(provisioner, FEW)).changes == ()
    await publish(index, ["a green pump"], version=2)
    assert [passage.text for passage in await find(index, "pump")] == ["a green pump"]


@pytest.mark.stack
async def test_nothing_that_is_written_during_a_rebuild_is_lost(
    index: MilvusIndex, provisioner: MilvusProvisioner
) -> None:
    for number in range(20):
        await publish(index, [f"pump {number}"], document_id=f"before-{number}")
    await publish(index, ["an old text"], document_id="changed", flipped_at=datetime.now(UTC))
    done = asyncio.Event()
    written: list[str] = []

    async def write() -> None:
        while not done.is_set() or len(written) < 5:
            name = f"during-{len(written)}"
            await publish(index, [f"pump {name}"], document_id=name, flipped_at=datetime.now(UTC))
            written.append(name)

    writing = asyncio.create_task(write())
    await applied(provisioner, await planned(provisioner, FEW), "rebuild")
    await publish(index, ["a new text"], document_id="changed", version=2, flipped_at=datetime.now(UTC))
    done.set()
    await writing
    heads = {head.document_id: head.version for head in await index.heads(ACME)}
    assert heads == dict.fromkeys([*written, *(f"before-{number}" for number in range(20))], 1) | {"changed": 2}
    for name in heads:
        assert len(await index.chunks(ACME, DocumentId(name))) == 1
    assert [passage.text for passage in await find(index, "text", limit=1)] == ["a new text"]


@pytest.mark.stack
async def test_a_collection_from_before_there_were_aliases_gets_one(
    index: MilvusIndex, provisioner: MilvusProvisioner
) -> None:
    await publish(index, ["a red pump"])
    for name in (index.name, f"{index.name}_heads"):
        await index._client.call("drop_alias", name)
        await index._client.call("rename_collection", f"{name}_v1", name)
    plan = await planned(provisioner, MANY)
    assert summary(plan, index) == [("", "alias", "apply"), ("_heads", "alias", "apply")]
    assert await applied(provisioner, plan, "apply") == []
    assert (await planned(provisioner, MANY)).changes == ()
    assert [passage.text for passage in await find(index, "pump")] == ["a red pump"]


@pytest.mark.stack
async def test_heads_survive_a_rebuild_of_their_own(index: MilvusIndex, provisioner: MilvusProvisioner) -> None:
    for version in (1, 2):
        live = await publish(index, [f"pump {version}"], version=version, flipped_at=datetime.now(UTC))
    plan = await planned(provisioner, MANY)
    forced = Change(f"{index.name}_heads", "shards", "1", "2", "rebuild")
    await applied(provisioner, replace(plan, changes=(forced,)), "rebuild")
    assert await index.head(ACME, HANDBOOK) == live
    assert [passage.text for passage in await find(index, "pump")] == ["pump 2"]


@pytest.mark.stack
async def test_vectors_of_another_model_are_left_to_a_person(
    index: MilvusIndex, provisioner: MilvusProvisioner
) -> None:
    [event] = slices(["a pump"])
    await index.write(await embedded(event))
    plan = await planned(provisioner, MANY, model="newer")
    assert [change.how for change in plan.changes if change.what == "model"] == ["hand"]
    assert "ingest again" in str(plan.changes[0])


@pytest.mark.servers
async def test_a_real_server_gets_the_shards_and_partitions_that_it_lacks(real_milvus: Standalone) -> None:
    url = real_milvus.index_url(f"test_{uuid.uuid4().hex}")
    index, provisioner = MilvusIndex(url, staleness_s=0), MilvusProvisioner(url)
    await index.open()
    await provisioner.open()
    live = await publish(index, ["a red pump"], flipped_at=datetime.now(UTC), readers=("ann",))
    plan = await planned(provisioner, LARGE)
    assert {(change.what, change.current, change.wanted) for change in plan.changes} == {
        ("shards", "1", "2"),
        ("partitions", "16", "64"),
    }
    assert [change.how for change in await applied(provisioner, plan, "rebuild")] == ["drop", "drop"]
    assert {change.how for change in (await planned(provisioner, LARGE)).changes} == {"drop"}
    await applied(provisioner, await planned(provisioner, LARGE), "drop")
    assert (await planned(provisioner, LARGE)).changes == ()
    assert await index.head(ACME, HANDBOOK) == live
    assert [passage.text for passage in await find(index, "pump", principals=("ann",))] == ["a red pump"]
    await index.drop()
    await provisioner.close()
    await index.close()


@pytest.mark.stack
async def test_a_database_of_the_url_is_created(stack: Settings) -> None:
    name = f"d_{id(stack)}"
    url = f"{stack.index_url.rpartition('/')[0]}/{name}/documents"
    provisioner = MilvusProvisioner(url)
    await provisioner.open()
    plan = await planned(provisioner, MANY)
    assert str(plan.changes[0]) == f"{name}: database created"
    await applied(provisioner, plan, "apply")
    assert (await planned(provisioner, MANY)).changes == ()
    await provisioner.close()
    index = MilvusIndex(url)
    await index.open()
    await publish(index, ["a pump"])
    assert len(await find(index, "pump")) == 1
    await index.close()
