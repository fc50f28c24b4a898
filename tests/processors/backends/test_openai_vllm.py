"""The Generator contract on a real vLLM, which runs on the CPU: `make nightly`."""

from collections.abc import AsyncIterator, Iterator

import pytest

from processors.backends.openai import OpenAIGenerator
from processors.ports import Generator
from tests.processors.generator_contract import ASKED, GeneratorContract
from tests.processors.models import evidence
from tests.servers import vllm

pytestmark = pytest.mark.nightly


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    if not vllm.available():
        pytest.skip(vllm.MISSING)
    with vllm.serving() as url:
        yield url


@pytest.mark.timeout(400)
class TestVllm(GeneratorContract):
    @pytest.fixture
    async def generator(self, server: str) -> AsyncIterator[Generator]:
        generator = OpenAIGenerator(server)
        await generator.open()
        yield generator
        await generator.close()

    async def test_the_server_counts_its_tokens(self, generator: Generator) -> None:
        *_, last = [fragment async for fragment in generator.generate(ASKED, evidence())]
        assert last.usage is not None
        assert last.usage.prompt_tokens > 50
        assert last.usage.completion_tokens > 1
