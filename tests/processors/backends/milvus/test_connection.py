"""The connection to a Milvus: what it costs where nobody answers, and what calls become without one."""

import socket

import pytest

from processors.backends.milvus.connection import MilvusConnection
from processors.errors import Transient


@pytest.fixture
def client() -> MilvusConnection:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        return MilvusConnection(f"http://127.0.0.1:{nobody.getsockname()[1]}", token="")


async def test_before_it_is_open_and_after_it_is_closed_calls_wait(client: MilvusConnection) -> None:
    with pytest.raises(Transient, match=r"http://127.* is not open"):
        await client.call("has_collection", "any")
    with pytest.raises(Transient, match="refused"):
        await client.open()
    await client.close()
    with pytest.raises(Transient, match="is not open"):
        await client.call("has_collection", "any")


async def test_a_start_that_is_tried_again_leaves_no_connection_behind(
    client: MilvusConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    import pymilvus

    closed = []
    close = pymilvus.AsyncMilvusClient.close

    async def counted(connection: pymilvus.AsyncMilvusClient) -> None:
        closed.append(connection)
        await close(connection)

    monkeypatch.setattr(pymilvus.AsyncMilvusClient, "close", counted)
    for _ in range(2):
        with pytest.raises(Transient, match="refused"):
            await client.open()
    await client.close()
    assert len(set(map(id, closed))) == 2
