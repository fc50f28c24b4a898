"""An index on the run's own Milvus, in a collection of the test's own."""

import uuid
from collections.abc import AsyncIterator, Callable

import pytest

from processors.backends.milvus.index import MilvusIndex
from streams.settings import Settings


@pytest.fixture
def another(stack: Settings) -> Callable[[], MilvusIndex]:
    """Makes further connections to the test's collection, as further workers have them; not opened."""
    url = f"{stack.index_url.rpartition('/')[0]}/test_{uuid.uuid4().hex}"
    return lambda: MilvusIndex(url)


@pytest.fixture
async def index(another: Callable[[], MilvusIndex]) -> AsyncIterator[MilvusIndex]:
    index = another()
    await index.open()
    yield index
    await index.close()
