"""The Generator contract on a real vLLM, which runs on the CPU: `make nightly`."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing

import httpx
import pytest

from processors.backends.openai.generator import OpenAIGenerator
from processors.errors import Poison
from processors.ports import Generator
from tests.processors.generator_contract import ASKED, GeneratorContract
from tests.processors.models import evidence, passage
from tests.servers import vllm

pytestmark = [pytest.mark.nightly, pytest.mark.timeout(400)]
PATIENCE_S = 30.0


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    if missing := vllm.missing():
        pytest.skip(missing)
    with vllm.serving() as url:
        yield url


async def opened(url: str) -> AsyncIterator[OpenAIGenerator]:
    generator = OpenAIGenerator(url)
    await generator.open()
    try:
        yield generator
    finally:
        await generator.close()


class TestChat(GeneratorContract):
    @pytest.fixture
    async def generator(self, server: str) -> AsyncIterator[Generator]:
        async for generator in opened(server):
            yield generator

    async def test_the_server_counts_its_tokens(self, generator: Generator) -> None:
        *_, last = [fragment async for fragment in generator.generate(ASKED, evidence())]
        assert last.usage is not None
        assert last.usage.prompt_tokens > 50
        assert last.usage.completion_tokens > 1


class TestCompletions(GeneratorContract):
    @pytest.fixture
    async def generator(self, server: str) -> AsyncIterator[Generator]:
        async for generator in opened(f"{server}&api=completions"):
            yield generator


class TestQuotes(GeneratorContract):
    @pytest.fixture
    async def generator(self, server: str) -> AsyncIterator[Generator]:
        async for generator in opened(f"{server}&guided=quotes"):
            yield generator


async def under_way(server: str) -> float:
    """Generations that the server runs or has waiting."""
    root = server.removeprefix("openai+").partition("/v1")[0]
    async with httpx.AsyncClient(trust_env=False) as client:
        metrics = (await client.get(f"{root}/metrics")).text
    names = ("vllm:num_requests_running{", "vllm:num_requests_waiting{")
    return sum(float(line.rpartition(" ")[2]) for line in metrics.splitlines() if line.startswith(names))


async def test_closing_an_answer_stops_the_generation(server: str) -> None:
    async for generator in opened(f"{server}&max_tokens=1500"):
        story = "Tell a very long story about the tower, with a hundred chapters."
        async with aclosing(generator.generate(story, evidence())) as fragments:
            await anext(fragments)
            assert await under_way(server) == 1
        async with asyncio.timeout(PATIENCE_S):
            while await under_way(server):  # noqa: ASYNC110 - another process tells, and only when asked
                await asyncio.sleep(0.02)


async def test_a_prompt_beyond_the_model_s_context_is_answered_from_less_evidence(server: str) -> None:
    much = [passage("The tower stands in Paris by the river. " * 200, ordinal=number) for number in range(4)]
    async for generator in opened(f"{server}&evidence_bytes=20000"):
        assert [part async for part in generator.generate("Where is it?", much)]


async def test_a_model_that_it_does_not_serve_refuses_a_start(server: str) -> None:
    with pytest.raises(Poison, match=f"serves.*{vllm.MODEL}.*model="):
        await OpenAIGenerator(server.replace(f"model={vllm.MODEL}", "model=another")).open()


async def test_its_health_route_is_found(server: str) -> None:
    async for generator in opened(server):
        await generator.healthy()
