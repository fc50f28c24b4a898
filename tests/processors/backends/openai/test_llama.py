"""The Generator contract on a real llama.cpp server, which shows by its slots whether it still generates."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest

from processors.backends.openai.generator import OpenAIGenerator
from processors.errors import Poison
from processors.ports import Generator
from streams.settings import Settings
from tests.processors.generator_contract import ASKED, GeneratorContract
from tests.processors.models import evidence, passage
from tests.servers.llama import Llama

pytestmark = pytest.mark.stack
STORY = "Tell a very long story about the tower, with a hundred chapters."
MUCH = [passage("The tower stands in Paris and is tall. " * 40, ordinal=number) for number in range(5)]
"""About 1,500 tokens, which the server reads for seconds."""


async def opened(stack: Settings, options: str) -> AsyncIterator[OpenAIGenerator]:
    generator = OpenAIGenerator(stack.generator_url + options)
    await generator.open()
    try:
        yield generator
    finally:
        await generator.close()


class TestChat(GeneratorContract):
    @pytest.fixture
    async def generator(self, stack: Settings) -> AsyncIterator[Generator]:
        async for generator in opened(stack, "&max_tokens=48"):
            yield generator

    async def test_the_server_counts_its_tokens(self, generator: Generator) -> None:
        *_, last = [fragment async for fragment in generator.generate(ASKED, evidence())]
        assert last.usage is not None
        assert last.usage.prompt_tokens > 50
        assert last.usage.completion_tokens > 1

    async def test_a_long_question_over_much_evidence_is_answered(self, generator: Generator) -> None:
        much = [passage("Wo\u0142omin lies east of Warsaw. " * 60, ordinal=number) for number in range(10)]
        assert [part async for part in generator.generate("Where is it? " * 600, much)]


class TestCompletions(GeneratorContract):
    @pytest.fixture
    async def generator(self, stack: Settings) -> AsyncIterator[Generator]:
        async for generator in opened(stack, "&api=completions&max_tokens=48"):
            yield generator


class TestQuotes(GeneratorContract):
    @pytest.fixture
    async def generator(self, stack: Settings) -> AsyncIterator[Generator]:
        async for generator in opened(stack, "&guided=quotes"):
            yield generator

    async def test_whatever_the_model_the_words_are_the_documents(self, generator: Generator) -> None:
        *quotes, last = [fragment async for fragment in generator.generate(ASKED, evidence())]
        assert quotes
        assert all(quote.passage is not None for quote in quotes)
        assert last.usage is not None
        assert last.usage.completion_tokens > 1


@pytest.fixture
async def writer(stack: Settings) -> AsyncIterator[OpenAIGenerator]:
    """Allowed to write for minutes."""
    async for generator in opened(stack, "&max_tokens=3000&evidence_bytes=6000"):
        yield generator


@pytest.fixture
def llm(stack: Settings) -> Llama:
    return Llama.of(stack)


async def test_closing_an_answer_frees_the_server_s_slot(llm: Llama, writer: OpenAIGenerator) -> None:
    await llm.until_busy(0)
    async with aclosing(writer.generate(STORY, evidence())) as fragments:
        await anext(fragments)
        assert llm.busy() == 1
        async with llm.freed_within_1_s():
            await fragments.aclose()


async def test_cancelling_a_question_before_its_first_word_frees_the_slot(llm: Llama, writer: OpenAIGenerator) -> None:
    async def ask() -> None:
        async with aclosing(writer.generate(STORY, MUCH)) as fragments:
            async for _ in fragments:
                pass

    await llm.until_busy(0)
    asking = asyncio.create_task(ask())
    await llm.until_busy(1)
    async with llm.freed_within_1_s():
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking


async def test_repetition_frees_the_slot_long_before_the_allowance_is_spent(stack: Settings, llm: Llama) -> None:
    async for generator in opened(stack, "&max_tokens=3000"):
        said = "".join([part.text async for part in generator.generate("Say: The tower is tall. " * 30, evidence())])
        assert said
        await llm.until_busy(0)


async def test_a_model_that_the_server_does_not_serve_is_answered_by_what_it_has(stack: Settings) -> None:
    """llama.cpp serves one model and answers to any name; it is no error there."""
    generator = OpenAIGenerator(stack.generator_url.replace("model=local", "model=another"))
    await generator.open()
    try:
        assert [part async for part in generator.generate(ASKED, evidence())]
    finally:
        await generator.close()


async def test_a_port_of_something_else_is_recognised(stack: Settings) -> None:
    generator = OpenAIGenerator(f"openai+http://127.0.0.1:{stack.local.llm_port}/nowhere?model=local")
    with pytest.raises(Poison, match="correct generator"):
        await generator.open()
