"""What all tests share: the real local stack, started once per process, and a watch for exceptions that nobody saw."""

import gc
import logging
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
from hypothesis import HealthCheck

from streams.local import stack as local_stack
from streams.settings import Settings
from tests.servers import milvus
from tests.servers.own import own_stack

# A machine that is busy elsewhere is no reason to fail.
hypothesis.settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
hypothesis.settings.load_profile("unhurried")


def pytest_addoption(parser: pytest.Parser) -> None:
    """How much chaos; it is marked `chaos`, and only `make chaos` runs it."""
    parser.addoption("--seeds", type=int, default=0, help="seeds of each chaos scenario")
    parser.addoption("--first-seed", type=int, default=1, help="the first of them")


def pytest_configure() -> None:
    """Forget the settings of whoever runs the tests: they are about another deployment."""
    for name in [name for name in os.environ if name.startswith("HEADWATER_")]:
        del os.environ[name]


@pytest.fixture(scope="session")
def stack() -> Iterator[Settings]:
    """Settings of a private broker, vector store and language model, without workers, on free ports."""
    # Not `tmp_path_factory`: it keeps the folders of the last runs.
    with tempfile.TemporaryDirectory(prefix="headwater-", ignore_cleanup_errors=True) as home:
        settings = own_stack(Path(home))
        local_stack.prepare(settings, lambda _done, _total: None)
        # Never kept: the stack goes with this process, however that ends.
        starting = local_stack.start(settings, workers=False)
        try:
            local_stack.wait_ready(starting.home, process=starting.process)
            yield settings
        finally:
            local_stack.stop(settings)
            starting.release()
            starting.process.wait()


@pytest.fixture(scope="session")
def real_milvus() -> Iterator[milvus.Standalone]:
    """A real Milvus standalone that tests share; whoever wants to kill one starts `milvus.standalone()`."""
    if reason := milvus.missing():
        pytest.skip(reason)
    # A read of what was just written waits for the next tick of the server's clock.
    with milvus.standalone(**{"proxy.timeTickInterval": 50}) as server:
        yield server


class _Unretrieved(logging.Handler):
    """Collects what asyncio says about exceptions that no one awaited."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if "never retrieved" in record.getMessage():
            self.messages.append(record.getMessage())


@pytest.fixture(autouse=True)
def no_unretrieved_exceptions() -> Iterator[None]:
    """Fail a test that leaves a task whose exception nobody looked at."""
    handler = _Unretrieved()
    logger = logging.getLogger("asyncio")
    logger.addHandler(handler)
    yield
    gc.collect(1)  # the young generations: a task that ended in this test is there, and a full collection costs 50 ms
    logger.removeHandler(handler)
    assert not handler.messages, "\n".join(handler.messages)
