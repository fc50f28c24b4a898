"""Evidence judged and answers quoted sentence by sentence, on the vectors of an embedder."""

import math
from collections.abc import AsyncGenerator, Collection, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from processors.backends.sentence_vectors import SentenceVectors
from processors.ports import Fragment, Vectors
from processors.sentences import Sentence, sentences
from processors.words import coverage, stems, weigh
from schemas import AnswerMode, Passage, Usage

READ_PASSAGES = 8
"""Passages whose sentences are read, the first as the search gives them: more cost CPU and find little."""
WORDS_WEIGHT = 0.3
"""What a sentence that holds all words of the question gains over its cosine."""
SENTENCE, PASSAGE, NOTHING = 13.6, 1.7, -10.96
"""Logistic weights of the best sentence and of the passage's words, fitted by `benchmarks.retrieval_quality`."""

MAX_QUOTES = 3
QUOTE_MARGIN = 0.15
"""Further sentences are quoted if they score within this of the best."""
EVIDENCE_WEIGHT = 0.06
"""What a sentence gains for each unit of log odds that its passage holds the answer."""
HEADING_WORDS = 6
SAME = 0.92
"""Cosine above which two sentences say the same."""


class SentenceReranker:
    """The probability that a passage holds the answer, from its best sentence and the words that it shares.

    It needs no score of the search, only its order: the sentences of the first passages are read, the others are
    judged by their dense score and cannot overtake.
    """

    def __init__(self, vectors: SentenceVectors, *, read: int = READ_PASSAGES) -> None:
        self._vectors = vectors
        self._read = read

    async def open(self) -> None:
        await self._vectors.open()

    async def close(self) -> None:
        await self._vectors.close()

    async def check(self) -> str:
        return await self._vectors.check()

    async def rerank(self, question: str, passages: Sequence[Passage]) -> Sequence[float]:
        if not passages:
            return []
        held = [stems(" ".join((passage.title, *passage.section, passage.text))) for passage in passages]
        weights = weigh(question, held)
        read = [_texts(passage) for passage in passages[: self._read]]
        scores, _ = await self._vectors.compare(question, [text for texts in read for text in texts])
        scores += WORDS_WEIGHT * _coverages(weights, [text for texts in read for text in texts])
        ends = np.cumsum([len(texts) for texts in read])
        best = [float(part.max()) for part in np.split(scores, ends[:-1])]
        judged = [_probability(score, coverage(weights, words)) for score, words in zip(best, held, strict=False)]
        floor = min(judged)
        for passage, words in zip(passages[len(judged) :], held[len(judged) :], strict=True):
            share = coverage(weights, words)
            guess = passage.scores.get("dense", 0.0) + WORDS_WEIGHT * share
            judged.append(min(floor, _probability(guess, share)))
        return judged


class SentenceExtractor:
    """Answers with the sentences of the evidence that stand nearest to the question, verbatim."""

    def __init__(self, vectors: SentenceVectors) -> None:
        self._vectors = vectors

    @property
    def mode(self) -> AnswerMode:
        return "extractive"

    @property
    def model(self) -> str:
        return f"sentences/{self._vectors.model}"

    async def open(self) -> None:
        await self._vectors.open()

    async def close(self) -> None:
        await self._vectors.close()

    async def check(self) -> str:
        return await self._vectors.check()

    async def generate(self, question: str, passages: Sequence[Passage]) -> AsyncGenerator[Fragment, None]:
        found = [(index, sentence) for index, passage in enumerate(passages) for sentence in sentences(passage.text)]
        if not found:
            return
        texts = [sentence.text for _, sentence in found]
        weights = weigh(question, [stems(passage.text) for passage in passages])
        cosines, vectors = await self._vectors.compare(question, texts)
        scores = cosines + WORDS_WEIGHT * _coverages(weights, texts)
        scores += np.array([EVIDENCE_WEIGHT * _log_odds(passages[index]) for index, _ in found])
        previous = None
        for place in sorted(_choose(_past_headings(found, scores, weights), vectors)):
            index, sentence = found[place]
            gap = "" if previous is None else " " if previous == index else "\n\n"
            yield Fragment(text=gap + sentence.text, passage=index)
            previous = index
        yield Fragment(text="", usage=Usage())


def _texts(passage: Passage) -> list[str]:
    return [sentence.text for sentence in sentences(passage.text)] or [passage.text]


def _coverages(weights: Mapping[str, float], texts: Sequence[str]) -> NDArray[np.float64]:
    return np.array([coverage(weights, stems(text)) for text in texts])


def _probability(sentence: float, words: float) -> float:
    return 1 / (1 + math.exp(-(SENTENCE * sentence + PASSAGE * words + NOTHING)))


def _log_odds(passage: Passage) -> float:
    probability = min(max(passage.scores.get("rerank", 0.5), 1e-3), 1 - 1e-3)
    return math.log(probability / (1 - probability))


def _past_headings(
    found: Sequence[tuple[int, Sentence]], scores: NDArray[np.float64], asked: Collection[str]
) -> NDArray[np.float64]:
    """Headings, questions and repetitions of the question answer nothing; what follows one speaks of the same."""
    passed = scores.copy()
    for place, (index, sentence) in enumerate(found):
        if _leads(sentence.text, asked):
            passed[place] = scores[place] - 1.0
            if place + 1 < len(found) and found[place + 1][0] == index:
                passed[place + 1] = max(passed[place + 1], scores[place] - 0.05)
    return passed


def _leads(text: str, asked: Collection[str]) -> bool:
    if text.startswith("#") or text.endswith(("?", ":")) or stems(text) <= set(asked):
        return True
    bare = text[-1].isalpha() and not any(letter.isdigit() or letter in ":|\t" for letter in text)
    return bare and len(text.split()) <= HEADING_WORDS


def _choose(scores: NDArray[np.float64], vectors: Vectors) -> list[int]:
    order = np.argsort(-scores, kind="stable")
    chosen: list[int] = []
    for place in order.tolist():
        if len(chosen) == MAX_QUOTES or scores[place] < scores[order[0]] - QUOTE_MARGIN:
            break
        if not chosen or float((vectors[chosen] @ vectors[place]).max()) < SAME:
            chosen.append(place)
    return chosen
