"""Answers of a Milvus, or of what stands before it, that no server gives on demand: busy, expired, broken, or none."""

import dataclasses
import uuid

import numpy as np
import pytest

from processors.backends.milvus import connection as milvus_connection
from processors.backends.milvus.index import MilvusIndex
from processors.errors import Poison, Transient
from streams.settings import Settings
from tests.processors.happenings import embedded, slices
from tests.processors.index_contract import find, publish
from tests.servers.faults import FaultServer, Reply, Step, busy, html
from tests.servers.grpc_faults import Fault, GrpcFaults, Silence, Status
from tests.servers.proxy import FaultProxy

pytestmark = pytest.mark.stack


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(milvus_connection, "CALL_TIMEOUT_S", 0.5)


ANSWERS: dict[str, tuple[Fault, str]] = {
    "busy": (Status("RESOURCE_EXHAUSTED", "too many requests"), "too many requests.*overloaded"),
    "expired token": (Status("UNAUTHENTICATED", "token expired"), "token expired.*index_token"),
    "forbidden": (Status("PERMISSION_DENIED", "not yours"), "not yours.*index_token"),
    "failing": (Status("INTERNAL", "oops"), r"oops \(INTERNAL\): see the log"),
    "late": (Status("DEADLINE_EXCEEDED", "oops"), r"oops \(DEADLINE_EXCEEDED\): it did not answer in time"),
    "away": (Status("UNAVAILABLE", "no upstream"), "is it running"),
    "silent": (Silence(), "did not answer in time"),
    "silent after its head": (Silence(begun=True), "did not answer in time"),
    "without an end": ((b"", Silence()), "did not answer in time"),
    "no message": (b"<!DOCTYPE html>", "Unexpected error"),
    "nothing in it": (b"", "gave 0 results for one search|took 0 of 1 rows"),
}


@pytest.mark.parametrize(("answer", "says"), ANSWERS.values(), ids=ANSWERS)
async def test_an_answer_that_is_none_is_an_outage_that_names_the_server(
    proxied: MilvusIndex, way: GrpcFaults, answer: Fault, says: str
) -> None:
    way.faults["*"] = answer
    with pytest.raises(Transient, match=f"{way.address}.*({says})"):
        await find(proxied, "pump")
    with pytest.raises(Transient, match=f"{way.address}.*({says})"):
        await publish(proxied, ["a blue pump"], version=2)
    way.faults.clear()
    assert [passage.text for passage in await find(proxied, "pump")] == ["a red pump"]


async def test_a_vector_that_is_none_is_poison_and_is_not_stored(proxied: MilvusIndex) -> None:
    [event] = slices(["a blue pump"], version=2)
    whole = await embedded(event)
    vectors = np.full(whole.dimensions, np.nan, dtype="<f4").tobytes()
    with pytest.raises(Poison, match=r"index-refused.*NaN"):
        await proxied.write(dataclasses.replace(whole, vectors=vectors))
    assert [passage.text for passage in await find(proxied, "pump")] == ["a red pump"]


@pytest.mark.parametrize(
    ("reply", "error", "says"),
    [(html(), Poison, "bad-url.*that is no Milvus"), (busy(), Transient, "429"), (html(503), Transient, "503")],
)
async def test_a_server_of_another_kind_refuses_a_start_and_a_gateway_s_busy_page_does_not(
    reply: Reply, error: type[Exception], says: str
) -> None:
    async with FaultServer([*reply, Step.HANG_UP]) as server:
        index = MilvusIndex(f"milvus+{server.url}/documents")
        with pytest.raises(error, match=says) as raised:
            await index.open()
        assert server.url in str(raised.value)
        await index.close()


async def test_a_page_for_people_in_the_place_of_the_server_is_an_outage_under_way(stack: Settings) -> None:
    async with (
        FaultProxy("127.0.0.1", stack.local.milvus_port) as proxy,
        FaultServer([*html(), Step.HANG_UP]) as page,
    ):
        index = MilvusIndex(f"milvus+http://{proxy.address}/test_{uuid.uuid4().hex}")
        await index.open()
        await publish(index, ["a red pump"])
        there, proxy.upstream = proxy.upstream, ("127.0.0.1", page.port)
        await proxy.hang_up()
        for _ in range(2):
            with pytest.raises(Transient, match=proxy.address):
                await find(index, "pump")
        proxy.upstream = there
        await index.close()
