"""An index whose answers a test may change on their way."""

import uuid
from collections.abc import AsyncIterator

import pytest

from processors.backends.milvus.index import MilvusIndex
from streams.settings import Settings
from tests.processors.index_contract import publish
from tests.servers.grpc_faults import GrpcFaults


@pytest.fixture
async def way(stack: Settings) -> AsyncIterator[GrpcFaults]:
    async with GrpcFaults(f"127.0.0.1:{stack.local.milvus_port}") as way:
        yield way


@pytest.fixture
async def proxied(way: GrpcFaults) -> AsyncIterator[MilvusIndex]:
    """Open and with a document in it, behind `way`."""
    index = MilvusIndex(f"milvus+http://{way.address}/test_{uuid.uuid4().hex}")
    await index.open()
    await publish(index, ["a red pump"])
    yield index
    way.faults.clear()
    await index.drop()
    await index.close()
