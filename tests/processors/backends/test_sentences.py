"""The Reranker and Generator contracts on sentence vectors, and what is this backend's own."""

from collections.abc import Sequence

import numpy as np
import pytest

from processors.backends.sentence_vectors import SentenceVectors
from processors.backends.sentences import SentenceExtractor, SentenceReranker
from processors.ports import Generator, Reranker, Role, Vectors
from tests.processors.generator_contract import GeneratorContract
from tests.processors.models import evidence, minilm, passage
from tests.processors.reranker_contract import RerankerContract


class Counted:
    """The default model, with a count of the texts that it was given."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    @property
    def model(self) -> str:
        return minilm().model

    @property
    def dimensions(self) -> int:
        return minilm().dimensions

    async def open(self) -> None: ...
    async def close(self) -> None: ...
    async def check(self) -> str:
        return await minilm().check()

    async def embed(self, texts: Sequence[str], *, role: Role) -> Vectors:
        self.texts += texts
        return await minilm().embed(texts, role=role)


@pytest.fixture
def embedder() -> Counted:
    return Counted()


@pytest.fixture
def vectors(embedder: Counted) -> SentenceVectors:
    return SentenceVectors(embedder)


class TestSentenceReranker(RerankerContract):
    @pytest.fixture
    def reranker(self, vectors: SentenceVectors) -> Reranker:
        return SentenceReranker(vectors)

    async def test_passages_beyond_those_read_cannot_overtake(self, embedder: Counted) -> None:
        reranker = SentenceReranker(SentenceVectors(embedder), read=1)
        first, second = await reranker.rerank(
            "When was the tower built?", [passage("Soup is cold."), passage("The tower was built in 1889.", dense=0.8)]
        )
        assert second <= first
        assert not any("1889" in text for text in embedder.texts)


class TestSentenceExtractor(GeneratorContract):
    @pytest.fixture
    def generator(self, vectors: SentenceVectors) -> Generator:
        return SentenceExtractor(vectors)

    async def answer(self, vectors: SentenceVectors, question: str, *texts: str) -> list[str]:
        passages = [passage(text) for text in texts]
        return [part.text async for part in SentenceExtractor(vectors).generate(question, passages) if part.text]

    async def test_the_sentence_that_answers_is_quoted(self, vectors: SentenceVectors) -> None:
        quotes = await self.answer(vectors, "How soon are refunds paid?", evidence()[1].text, evidence()[2].text)
        assert quotes == ["Refunds are paid within 14 days."]

    async def test_a_heading_leads_to_the_sentence_below_it(self, vectors: SentenceVectors) -> None:
        text = "Retention period\n\nSeventy-two hours, then it is deleted.\n\nThe office is closed on Sundays."
        quotes = await self.answer(vectors, "What is the retention period?", text)
        assert quotes[0] == "Seventy-two hours, then it is deleted."

    async def test_quotes_stand_in_the_order_of_the_passages(self, vectors: SentenceVectors) -> None:
        text = "The tower was built from 1887 on. Soup is cold. The tower was finished, built of iron, in 1889."
        quotes = await self.answer(vectors, "When was the tower built?", text)
        assert quotes == ["The tower was built from 1887 on.", " The tower was finished, built of iron, in 1889."]

    async def test_the_same_sentence_is_quoted_once(self, vectors: SentenceVectors) -> None:
        text = "The tower was built in 1889."
        assert await self.answer(vectors, "When was the tower built?", text, text) == [text]

    async def test_evidence_without_a_word_gives_no_answer(self, vectors: SentenceVectors) -> None:
        assert await self.answer(vectors, "When was the tower built?", "---", "\U0001f600") == []


async def test_the_extractor_reads_nothing_that_the_reranker_has_read(embedder: Counted) -> None:
    vectors = SentenceVectors(embedder)
    await SentenceReranker(vectors).rerank("When was the tower built?", evidence())
    read = len(embedder.texts)
    assert [part async for part in SentenceExtractor(vectors).generate("When was the tower built?", evidence())]
    assert len(embedder.texts) == read


async def test_remembered_sentences_stay_within_their_bytes(embedder: Counted) -> None:
    row = 384 * 4 + 128
    vectors = SentenceVectors(embedder, cache_bytes=3 * row)
    await vectors.compare("question", ["one", "two", "three"])
    del embedder.texts[:]
    cosines, rows = await vectors.compare("question", ["two", "three", "one"])
    assert "two" not in embedder.texts
    assert "three" not in embedder.texts
    assert np.allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)
    assert cosines.shape == (3,)
