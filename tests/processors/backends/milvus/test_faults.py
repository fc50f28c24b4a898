"""What a broken way to Milvus, or a Milvus that refuses us, ends as: the right class, the server and the remedy."""

import asyncio
import ssl
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from processors.backends.milvus import connection as milvus_connection
from processors.backends.milvus.index import MilvusIndex
from processors.errors import Poison, Transient
from streams.settings import Settings
from tests.processors.happenings import embedded, slices
from tests.processors.hashed_words import HashedWords
from tests.processors.index_contract import find, publish
from tests.servers.certificates import Authority
from tests.servers.proxy import Fault, FaultProxy

pytestmark = pytest.mark.stack


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(milvus_connection, "CALL_TIMEOUT_S", 0.5)


@pytest.fixture
async def way(stack: Settings) -> AsyncIterator[FaultProxy]:
    async with FaultProxy("127.0.0.1", stack.local.milvus_port) as proxy:
        yield proxy


@pytest.fixture
async def index(way: FaultProxy) -> AsyncIterator[MilvusIndex]:
    """Open and with a document in it."""
    index = MilvusIndex(url(way))
    await index.open()
    await publish(index, ["a red pump"])
    yield index
    await way.heal()
    await index.close()


def url(way: FaultProxy, scheme: str = "http") -> str:
    return f"milvus+{scheme}://{way.address}/test_{uuid.uuid4().hex}"


FAULTS = {
    "hanging": Fault(black_hole=True),
    "resetting": Fault(reset=True),
    "cutting the answer": Fault(cut_after_bytes=20),
    "hanging before the message": Fault(stall_after_bytes=20),
    "hanging amid the message": Fault(stall_after_bytes=300),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
async def test_a_broken_way_is_an_outage_that_names_the_server(
    index: MilvusIndex, way: FaultProxy, fault: Fault
) -> None:
    way.fault = fault
    with pytest.raises(Transient, match=rf"{way.address}.*(unreachable|index URL)"):
        await find(index, "pump")
    with pytest.raises(Transient, match=rf"{way.address}.*(unreachable|index URL)"):
        await publish(index, ["a blue pump"], version=2)
    await way.heal()
    await once_connected(index, ["a red pump"])


async def test_a_refused_connection_is_an_outage_and_its_end_is_noticed(index: MilvusIndex, way: FaultProxy) -> None:
    await way.refuse()
    with pytest.raises(Transient, match=rf"{way.address}.*is it running"):
        await find(index, "pump")
    await way.heal()
    await once_connected(index, ["a red pump"])


async def test_a_server_that_hangs_before_it_answers_at_all_is_an_outage(way: FaultProxy) -> None:
    way.fault = Fault(black_hole=True)
    index = MilvusIndex(url(way))
    with pytest.raises(Transient, match=rf"{way.address}.*unreachable|index URL"):
        await index.open()
    await index.close()


async def test_a_cancelled_search_leaves_the_connection_usable(index: MilvusIndex, way: FaultProxy) -> None:
    way.fault = Fault(latency_s=0.2)
    searching = asyncio.create_task(find(index, "pump"))
    await asyncio.sleep(0.1)
    searching.cancel()
    with pytest.raises(asyncio.CancelledError):
        await searching
    await way.heal()
    assert [passage.text for passage in await find(index, "pump")] == ["a red pump"]


async def once_connected(index: MilvusIndex, texts: list[str]) -> None:
    """As the runtime retries: a channel takes a moment to find out that its server is back."""
    for _ in range(100):
        try:
            found = await find(index, "pump")
            break
        except Transient:
            await asyncio.sleep(0.1)
    assert [passage.text for passage in found] == texts


async def test_vectors_of_another_length_are_refused_with_both_lengths(index: MilvusIndex) -> None:
    [event] = slices(["a blue pump"], version=2)
    with pytest.raises(Poison, match=r"model-mismatch.*128.*64"):
        await index.write(await embedded(event, HashedWords(dimensions=128)))


async def test_a_collection_that_was_replaced_under_way_is_no_poisonous_document(index: MilvusIndex) -> None:
    other = MilvusIndex(f"milvus+http://{index._client.uri.removeprefix('http://')}/{index.name}")
    await other.open()
    await other.drop()
    await publish_of(other, HashedWords(model="newer", dimensions=128))
    await other.close()
    with pytest.raises((Poison, Transient)) as refused:
        await publish(index, ["a blue pump"], version=3)
    assert "index-refused" not in str(refused.value)
    with pytest.raises(Poison, match="model-mismatch"):
        await publish(index, ["a blue pump"], version=3)


async def publish_of(index: MilvusIndex, words: HashedWords) -> None:
    [event] = slices(["a pump"])
    await index.write(await embedded(event, words))


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def encrypted(stack: Settings, context: ssl.SSLContext) -> FaultProxy:
    """A server that speaks gRPC over TLS."""
    context.set_alpn_protocols(["h2"])
    return FaultProxy("127.0.0.1", stack.local.milvus_port, tls=context)


async def test_tls_works_where_the_authority_is_named(stack: Settings, authority: Authority) -> None:
    async with encrypted(stack, authority.server()) as way:
        index = MilvusIndex(url(way, "https"), ca_file=authority.ca_file)
        await index.open()
        assert "milvus" in await index.check()
        await index.close()


@pytest.mark.parametrize(
    ("certificate", "remedy"),
    [
        ({"name": "elsewhere.test"}, "name the server as its certificate does"),
        ({"expired": True}, "expired"),
    ],
)
async def test_a_certificate_that_does_not_hold_stops_a_start_with_the_remedy(
    stack: Settings, authority: Authority, certificate: dict[str, Any], remedy: str
) -> None:
    async with encrypted(stack, authority.server(**certificate)) as way:
        index = MilvusIndex(url(way, "https"), ca_file=authority.ca_file)
        with pytest.raises(Poison, match=rf"^tls: .*{way.address}.*{remedy}"):
            await index.open()
        await index.close()


async def test_a_certificate_of_an_unknown_authority_stops_a_start_with_the_remedy(
    stack: Settings, authority: Authority
) -> None:
    async with encrypted(stack, authority.server()) as way:
        index = MilvusIndex(url(way, "https"))
        with pytest.raises(Poison, match=rf"^tls: .*{way.address}.*ca_file"):
            await index.open()
        await index.close()


async def test_https_where_the_server_speaks_none_stops_a_start_with_the_remedy(stack: Settings) -> None:
    index = MilvusIndex(f"milvus+https://127.0.0.1:{stack.local.milvus_port}/documents")
    with pytest.raises(Poison, match=r"^tls: .*milvus\+http://"):
        await index.open()
    await index.close()
