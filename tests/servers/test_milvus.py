"""The real Milvus starts, survives a crash, and leaves nothing behind."""

import pytest

from streams.local.listeners import taken
from streams.local.milvus import answers
from tests.servers import milvus

pytestmark = pytest.mark.servers


def test_a_killed_server_comes_back_at_the_same_address_and_leaves_nothing() -> None:
    if reason := milvus.missing():
        pytest.skip(reason)
    with milvus.standalone() as server:
        assert answers(server.address)
        server.kill()
        assert not answers(server.address)
        server.start()
        assert answers(server.address)
        folder = server.folder
    assert not taken(server.port)
    assert not folder.exists()
