"""The contracts on a real Triton: plain models, and generation in three dialects."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypeVar

import numpy as np
import pytest

from processors.backends.triton.generator import TritonGenerator
from processors.backends.triton.models import TritonEmbedder, TritonReranker
from processors.errors import Poison
from processors.ports import Embedder, Generator, Port, Reranker
from tests.processors.embedder_contract import EmbedderContract
from tests.processors.generator_contract import ASKED, GeneratorContract
from tests.processors.models import evidence, minilm, passage
from tests.processors.reranker_contract import RerankerContract
from tests.servers.llama import Llama
from tests.servers.triton.launcher import Triton

pytestmark = pytest.mark.servers

P = TypeVar("P", bound=Port)
MOST_TOKENS = 24


@asynccontextmanager
async def opened(port: P) -> AsyncIterator[P]:
    try:
        await port.open()
        yield port
    finally:
        await port.close()


class TestEmbedder(EmbedderContract):
    @pytest.fixture
    async def embedder(self, triton: Triton) -> AsyncIterator[Embedder]:
        async with opened(TritonEmbedder(f"triton+grpc://{triton.address}/embedding")) as embedder:
            yield embedder

    async def test_more_texts_than_a_batch_holds_come_back_in_order(self, embedder: Embedder) -> None:
        texts = [f"Room {number} is on floor {number % 7}." for number in range(70)]
        vectors = await embedder.embed(texts, role="passage")
        expected = await minilm().embed(texts, role="passage")
        assert float((vectors * expected).sum(axis=1).min()) > 0.99

    async def test_the_configuration_s_fingerprint_is_the_model_s(self, embedder: Embedder) -> None:
        assert embedder.model == minilm().model

    async def test_words_before_each_text_make_another_model(self, triton: Triton, embedder: Embedder) -> None:
        url = f"triton+grpc://{triton.address}/embedding?query_prefix=query:%20"
        async with opened(TritonEmbedder(url)) as prefixed:
            assert prefixed.model.startswith(f"{embedder.model}/")
            [question] = await prefixed.embed(["the tower"], role="query")
            [text] = await embedder.embed(["query: the tower"], role="passage")
        assert float(question @ text) > 0.999

    async def test_a_text_without_a_utf8_form_is_poison(self, embedder: Embedder) -> None:
        with pytest.raises(Poison, match="bad-text"):
            await embedder.embed(["a lone \ud800"], role="passage")

    async def test_a_deadline_ends_the_call_and_leaves_the_next_alone(self, triton: Triton) -> None:
        async with opened(TritonEmbedder(f"triton+grpc://{triton.address}/faulty")) as embedder:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.2):
                    await embedder.embed(["slow"], role="passage")
            assert (await embedder.embed(["fine"], role="passage")).shape == (1, 4)

    async def test_opening_and_closing_twice_is_harmless(self, embedder: Embedder) -> None:
        await embedder.open()
        await embedder.close()
        await embedder.close()


class TestReranker(RerankerContract):
    @pytest.fixture
    async def reranker(self, triton: Triton) -> AsyncIterator[Reranker]:
        async with opened(TritonReranker(f"triton+grpc://{triton.address}/rerank")) as reranker:
            yield reranker

    async def test_more_passages_than_a_batch_holds_keep_their_places(self, reranker: Reranker) -> None:
        many = [passage(f"Note {number} on gardens.") for number in range(70)] + evidence()
        scores = await reranker.rerank(ASKED, many)
        assert len(scores) == 73
        assert int(np.argmax(scores)) == 70

    async def test_logits_become_probabilities(self, triton: Triton) -> None:
        async with opened(TritonReranker(f"triton+grpc://{triton.address}/logits?load=true")) as reranker:
            scores = await reranker.rerank("the tower", [passage("The tower fell."), passage("Soup is cold.")])
        assert np.allclose(scores, [0.5, 0.1192], atol=1e-4)

    async def test_a_score_that_is_no_probability_is_refused_at_the_start(self, triton: Triton) -> None:
        with pytest.raises(Poison, match=r"outside \[0, 1\]; name the output logits"):
            await TritonReranker(f"triton+grpc://{triton.address}/unsqueezed?load=true").open()

    async def test_it_names_its_model_and_address(self, triton: Triton, reranker: Reranker) -> None:
        assert f"triton+grpc://{triton.address}/rerank" in await reranker.check()


class Streams(GeneratorContract):
    """What holds in each dialect that streams."""

    model: str

    @pytest.fixture
    async def generator(self, triton: Triton) -> AsyncIterator[Generator]:
        url = f"triton+grpc://{triton.address}/{self.model}?template=chatml&max_tokens={MOST_TOKENS}"
        async with opened(TritonGenerator(url)) as generator:
            yield generator

    @pytest.fixture
    async def talker(self, triton: Triton) -> AsyncIterator[Generator]:
        """Would go on for longer than any test."""
        url = f"triton+grpc://{triton.address}/{self.model}?template=chatml&max_tokens=2000"
        async with opened(TritonGenerator(url)) as generator:
            yield generator

    async def test_closing_the_answer_frees_the_server_s_slot(self, talker: Generator, llm: Llama) -> None:
        fragments = talker.generate(LONG, evidence())
        await anext(fragments)
        assert llm.busy() == 1
        async with llm.freed_within_1_s():
            await fragments.aclose()

    async def test_cancelling_before_the_first_piece_frees_it_as_well(self, talker: Generator, llm: Llama) -> None:
        answering = asyncio.create_task(anext(talker.generate(LONG, evidence())))
        await llm.until_busy(1)
        async with llm.freed_within_1_s():
            answering.cancel()
            await asyncio.wait([answering])

    async def test_it_answers_piece_by_piece(self, generator: Generator) -> None:
        fragments = [fragment async for fragment in generator.generate(ASKED, evidence())]
        assert len(fragments) > 5
        assert "The tower was built" in "".join(fragment.text for fragment in fragments)


LONG = "Tell a very long story about the tower, with every detail of its parts and of each year?"


class TestVllm(Streams):
    model = "vllm"

    async def test_the_tokens_are_counted(self, generator: Generator) -> None:
        await counts_its_tokens(generator)


class TestTensorRtLlmEnsemble(Streams):
    model = "ensemble"

    async def test_the_tokens_are_counted(self, generator: Generator) -> None:
        await counts_its_tokens(generator)


class TestLlmApi(Streams):
    model = "llmapi"


class TestLlmApiThatMayNotStream(GeneratorContract):
    @pytest.fixture
    async def generator(self, triton: Triton) -> AsyncIterator[Generator]:
        async with opened(
            TritonGenerator(f"triton+grpc://{triton.address}/llmapi_whole?template=chatml&max_tokens=24")
        ) as generator:
            yield generator


async def counts_its_tokens(generator: Generator) -> None:
    *_, last = [fragment async for fragment in generator.generate(ASKED, evidence())]
    assert last.usage is not None
    assert last.usage.prompt_tokens > 50
    assert last.usage.completion_tokens > 5


async def test_without_a_template_a_model_continues_the_text(triton: Triton) -> None:
    async with opened(TritonGenerator(f"triton+grpc://{triton.address}/vllm?max_tokens=16")) as generator:
        answer = "".join([fragment.text async for fragment in generator.generate(ASKED, evidence())])
    assert answer.strip()
    assert "Question:" not in answer


@pytest.mark.parametrize(("model", "dialect"), [("vllm", "vllm"), ("ensemble", "tensorrt-llm"), ("llmapi", "llmapi")])
async def test_the_dialect_is_known_by_the_metadata(triton: Triton, model: str, dialect: str) -> None:
    async with opened(TritonGenerator(f"triton+grpc://{triton.address}/{model}")) as generator:
        assert (await generator.check()).endswith(f"dialect {dialect}")


async def test_fifty_answers_at_once_do_not_mix(triton: Triton) -> None:
    words = [f"word{number}" for number in range(50)]
    async with opened(TritonGenerator(f"triton+grpc://{triton.address}/stumbling")) as generator:

        async def answer(word: str) -> str:
            return "".join([fragment.text async for fragment in generator.generate(f"speak {word}", [])])

        assert await asyncio.gather(*map(answer, words)) == words
