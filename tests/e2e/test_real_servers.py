"""The same pipeline, unchanged but for settings, on TEI's stand-in, a real Milvus standalone and a real Triton."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from schemas import AnswerCompleted
from streams.client import Client
from streams.composition import Backends
from streams.settings import Settings
from tests.e2e.conftest import INGEST, QUERY, Worker
from tests.servers.deployment import missing, real_servers

pytestmark = [pytest.mark.stack, pytest.mark.servers, pytest.mark.timeout(300)]
QUESTION = "At what wind speed must the dome be closed?"
DOCUMENTS = Path(__file__).parents[2] / "examples" / "documents"


@pytest.fixture(scope="module")
def deployment(stack: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """With the two workers that `headwater up` starts."""
    if lacking := missing():
        pytest.skip(lacking)
    logs = tmp_path_factory.mktemp("real-servers")
    with real_servers(stack, "real") as settings:
        workers = [Worker(settings, stages, logs / stages) for stages in (INGEST, QUERY)]
        try:
            for worker in workers:
                worker.wait_ready()
            yield settings
        finally:
            for worker in workers:
                worker.stop()


def headwater(settings: Settings, *arguments: str) -> str:
    """What a command prints."""
    done = subprocess.run(
        [sys.executable, "-m", "streams", *arguments],
        env=os.environ | settings.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


async def test_the_example_documents_answer_the_example_question(deployment: Settings) -> None:
    headwater(deployment, "ingest", str(DOCUMENTS), "--wait")
    assert "18 metres per second" in headwater(deployment, "ask", QUESTION)
    async with Client(deployment) as client:
        *deltas, written = [reply async for reply in client.ask(QUESTION, mode="generative")]
    assert isinstance(written, AnswerCompleted), written
    assert deltas
    assert written.usage is not None
    index = Backends(deployment).index
    await index.open()
    assert "v2.3.5" in await index.check()
    await index.close()
