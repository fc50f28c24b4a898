"""The Index contract on a real Milvus standalone, and what only a real one can do: shards, recovery, access."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import pytest

from processors.backends.milvus.index import MilvusIndex
from processors.errors import Poison, Transient
from processors.index_plan import Expected, layout
from tests.processors.happenings import ACME, embedded, head, slices
from tests.processors.index_contract import HANDBOOK, IndexContract, find, publish
from tests.servers.certificates import Authority
from tests.servers.milvus import Standalone, missing, standalone

pytestmark = pytest.mark.servers
RECOVERY_S = 150.0
"""Two minutes after a kill -9 in the worst case that was seen."""

T = TypeVar("T")


@pytest.fixture(scope="module")
def collection(real_milvus: Standalone) -> str:
    """Shared, because a server takes seconds to create one; each check has a tenant of its own."""
    return real_milvus.index_url(f"test_{uuid.uuid4().hex}")


class TestMilvusIndex(IndexContract):
    @pytest.fixture
    def another(self, collection: str) -> Callable[[], MilvusIndex]:
        return lambda: MilvusIndex(collection, staleness_s=0)


@pytest.fixture
async def fresh(real_milvus: Standalone) -> AsyncIterator[MilvusIndex]:
    """An index in collections of its own that reads what is written."""
    index = MilvusIndex(real_milvus.index_url(f"test_{uuid.uuid4().hex}"), staleness_s=0)
    await index.open()
    yield index
    await index.drop()
    await index.close()


async def test_shards_and_partitions_are_those_of_the_plan_and_hold_every_row(real_milvus: Standalone) -> None:
    url = real_milvus.index_url(f"test_{uuid.uuid4().hex}")
    expected = Expected(rows=200_000_000, writers=8)
    planned = layout(expected, 64)
    assert planned.shards > 1
    index = MilvusIndex(url, staleness_s=0, expected=expected)
    await index.open()
    tenants = [f"tenant-{number}" for number in range(6)]
    for tenant in tenants:
        await publish(index, [f"a pump of {tenant}"], tenant=tenant)
    described = await index._client.call("describe_collection", index.name)
    assert (described["num_shards"], described["num_partitions"]) == (planned.shards, planned.partitions)
    assert {field["name"] for field in described["fields"] if field.get("is_partition_key")} == {"tenant"}
    for tenant in tenants:
        assert [passage.text for passage in await find(index, "pump", tenant=tenant)] == [f"a pump of {tenant}"]
    await index.drop()
    await index.close()


async def test_a_search_that_may_lag_sees_what_was_written_before_its_bound(fresh: MilvusIndex) -> None:
    lagging = MilvusIndex(f"milvus+{fresh._client.uri}/{fresh.name}", staleness_s=0.5)
    await lagging.open()
    await publish(fresh, ["a red pump"], flipped_at=datetime.now(UTC))
    await asyncio.sleep(1)
    assert [passage.text for passage in await find(lagging, "pump")] == ["a red pump"]
    await lagging.close()


async def test_a_search_that_may_lag_far_sees_at_once_what_its_heads_name(fresh: MilvusIndex) -> None:
    lagging = MilvusIndex(f"milvus+{fresh._client.uri}/{fresh.name}", staleness_s=60)
    await lagging.open()
    await publish(fresh, ["a pump, version 0"], version=1)
    await find(lagging, "pump")
    older = 0
    for version in range(2, 12):
        await publish(fresh, [f"a pump, version {version}"], version=version, flipped_at=datetime.now(UTC))
        heads = await lagging.newest(ACME, {HANDBOOK: version})
        found = await find(lagging, "pump", heads=tuple(heads.values()))
        assert [passage.text for passage in found] == [f"a pump, version {version}"]
        older += [passage.version for passage in await find(lagging, "pump")] != [version]
    assert older > 0, "no search lagged: this run proves nothing"
    await lagging.close()


async def test_a_writer_reads_its_own_head_at_once_however_far_searches_lag(fresh: MilvusIndex) -> None:
    lagging = MilvusIndex(f"milvus+{fresh._client.uri}/{fresh.name}", staleness_s=60)
    await lagging.open()
    live = await publish(lagging, ["a red pump"], flipped_at=datetime.now(UTC))
    assert await lagging.head(ACME, HANDBOOK) == live
    await lagging.close()


@pytest.mark.timeout(400)
async def test_a_crash_loses_nothing_that_was_written_and_writes_go_on_afterwards() -> None:
    if reason := missing():
        pytest.skip(reason)
    with standalone() as server:
        index = MilvusIndex(server.index_url("documents"), staleness_s=0)
        await index.open()
        for number in range(20):
            await publish(index, [f"pump number {number}"], document_id=f"before-{number:02}")
        [during] = slices(["a pump written during the crash"], document_id="during")
        event = await embedded(during)
        server.kill()
        with pytest.raises(Transient, match=rf"{server.address}.*index URL"):
            await index.write(event)
        starting = asyncio.create_task(asyncio.to_thread(server.start))
        await recovered(lambda: index.write(event))
        await recovered(lambda: index.flip(head(during)))
        await starting
        heads = await recovered(lambda: index.heads(ACME))
        assert [each.document_id for each in heads] == [*(f"before-{number:02}" for number in range(20)), "during"]
        found = await recovered(lambda: find(index, "pump", limit=30))
        assert len(found) == 21
        later = MilvusIndex(server.index_url("documents"), staleness_s=0)
        await later.open()
        assert len(await recovered(lambda: find(later, "pump", limit=30))) == 21
        await later.close()
        await index.close()


async def test_a_server_with_tls_of_its_own_is_written_and_searched(tmp_path: Path) -> None:
    if reason := missing():
        pytest.skip(reason)
    authority = Authority(tmp_path)
    certificate, key = authority.issue("127.0.0.1")
    with standalone(tls_mode=1, server_pem_path=str(certificate), server_key_path=str(key)) as server:
        index = MilvusIndex(f"milvus+https://{server.address}/documents", ca_file=authority.ca_file, staleness_s=0)
        await index.open()
        await publish(index, ["a red pump"])
        assert [passage.text for passage in await find(index, "pump")] == ["a red pump"]
        await index.close()


async def recovered(attempt: Callable[[], Awaitable[T]]) -> T:
    """As the runtime does: again and again, as long as it is an outage."""
    deadline = time.monotonic() + RECOVERY_S
    while True:
        try:
            return await attempt()
        except Transient:
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.2)


async def test_a_token_that_is_wrong_stops_a_start_and_one_that_expires_is_an_outage() -> None:
    if reason := missing():
        pytest.skip(reason)
    with standalone(authorization_enabled=True) as server:
        url = server.index_url("documents")
        for token in ("", "root:wrong"):
            stranger = MilvusIndex(url, token)
            with pytest.raises(Poison, match=rf"unauthorized: .*{server.address}.*index_token"):
                await stranger.open()
            await stranger.close()
        admin = MilvusIndex(url, "root:Milvus", staleness_s=0)
        await admin.open()
        await admin._client.call("create_user", "ann", "secret1")
        index = MilvusIndex(url, "ann:secret1", staleness_s=0)
        await index.open()
        with pytest.raises(Transient, match=rf"{server.address}.*permission deny to ann.*index_token"):
            await publish(index, ["a red pump"])
        await admin._client.call("grant_role", "ann", "admin")
        await recovered(lambda: publish(index, ["a red pump"]))
        await admin._client.call("update_password", "ann", "secret1", "secret2")
        with pytest.raises(Transient, match=rf"{server.address}.*index_token"):
            await find(index, "pump")
        with pytest.raises(Transient, match=rf"{server.address}.*index_token"):
            await publish(index, ["a blue pump"], version=2)
        await index.close()
        await admin.close()
