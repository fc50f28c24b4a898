"""The Reranker and Generator contracts on sentence vectors, and what is this backend's own."""

from collections.abc import Sequence

import numpy as np
import pytest

from processors.backends.embedded.sentence_vectors import SentenceVectors
from processors.backends.embedded.sentences import SentenceExtractor, SentenceReranker
from processors.generate import MIN_EVIDENCE
from processors.ports import Generator, Reranker, Role, Vectors
from tests.processors.generator_contract import GeneratorContract
from tests.processors.models import evidence, minilm, passage
from tests.processors.reranker_contract import RerankerContract

MAIL = """Power failure in the night of 14 March

From: Ines Calloway <ines.calloway@kestrelridge.example>
To: Operations <operations@kestrelridge.example>

Dear all,

at 02:17 last night the mountain lost power for eleven minutes. The failure was caused by a marten that entered
transformer station B and bridged two phases. The animal did not survive; nobody was hurt."""
INSTRUMENTS = (
    "Instrument: Lark; Kind: Imaging camera; Detector: Four CCDs of 4096 x 4096 pixels; Field of view: 42 arcminutes",
    "Instrument: Wren; Kind: Echelle spectrograph; Detector: One CCD of 9216 pixels; Field of view: 1.2 arcseconds",
    "Instrument: Plover; Kind: Guide sensor; Detector: One CMOS of 2048 x 2048 pixels; Field of view: 6 arcminutes",
)


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

    async def test_the_sentence_that_answers_wins_over_the_head_of_a_mail(self, vectors: SentenceVectors) -> None:
        subject = "Power failure in the night of 14 March"
        quotes = await self.answer(vectors, "What caused the power failure in the night of 14 March?", MAIL)
        titled = [passage(MAIL, title=subject)]
        parts = SentenceExtractor(vectors).generate("What caused the power failure in the night of 14 March?", titled)
        assert "marten" in "".join(quotes)
        assert "marten" in (text := "".join([part.text async for part in parts]))
        assert "From:" not in text
        assert subject not in text

    async def test_one_row_of_a_table_is_quoted(self, vectors: SentenceVectors) -> None:
        quotes = await self.answer(vectors, "What is the field of view of the camera?", "\n".join(INSTRUMENTS))
        assert quotes == [INSTRUMENTS[0]]

    async def test_quotes_stand_in_the_order_of_the_passages(self, vectors: SentenceVectors) -> None:
        text = "The tower was built from 1887 on. Soup is cold. The tower was built up in 1889."
        quotes = await self.answer(vectors, "When was the tower built?", text)
        assert quotes == ["The tower was built from 1887 on.", " The tower was built up in 1889."]

    async def test_the_same_sentence_is_quoted_once(self, vectors: SentenceVectors) -> None:
        text = "The tower was built in 1889."
        assert await self.answer(vectors, "When was the tower built?", text, text) == [text]

    async def test_evidence_without_a_word_gives_no_answer(self, vectors: SentenceVectors) -> None:
        assert await self.answer(vectors, "When was the tower built?", "---", "\U0001f600") == []


@pytest.mark.parametrize(
    ("question", "text"),
    [
        (
            "how early should I arrive for my shift",
            "Arrive 45 minutes before sunset. Read the report of the day engineer.",
        ),
        ("do visitors need a helmet", "Helmets are worn everywhere inside the dome."),
        ("when may we wipe the local disk", "Only then may the local disk be cleared, after 14 days at the earliest."),
        ("what went wrong with the spectrograph", "The Wren spectrograph lost its cooling because its pump failed."),
        ("can we observe after lightning", "Lightning within 30 km: close at the first strike, open 60 minutes later."),
    ],
)
async def test_a_question_in_other_words_is_not_refused(vectors: SentenceVectors, question: str, text: str) -> None:
    passages = [*evidence(), passage(text, title="Night shift guide", ordinal=3)]
    scores = await SentenceReranker(vectors).rerank(question, passages)
    assert max(scores) == scores[3] >= MIN_EVIDENCE


@pytest.mark.parametrize(
    "question", ["What is the capital of Mongolia?", "price of bitcoin", "who painted the mona lisa"]
)
async def test_a_question_about_something_else_is_refused(vectors: SentenceVectors, question: str) -> None:
    assert max(await SentenceReranker(vectors).rerank(question, [*evidence(), passage(MAIL)])) < MIN_EVIDENCE


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
