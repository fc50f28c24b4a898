"""The Index contract on a real Milvus Lite server, and what is Milvus' own."""

import pytest

from tests.processors.index_contract import IndexContract

pytestmark = pytest.mark.stack


class TestMilvusIndex(IndexContract):
    pass
