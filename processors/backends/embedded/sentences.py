"""Evidence judged and answers quoted sentence by sentence, on the vectors of an embedder."""

import math
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from processors.backends.embedded.sentence_vectors import SentenceVectors
from processors.ports import Fragment, Vectors
from processors.sentences import sentences
from processors.words import coverage, stems, weigh
from schemas import AnswerMode, Passage, Usage

READ_PASSAGES = 8
"""Passages whose sentences are read, the first as the search gives them: more cost CPU and find little."""
WORDS_WEIGHT = 0.3
"""What a sentence that holds all words of the question gains over its cosine."""
SENTENCE, PASSAGE, NOTHING = 10.05, 1.6, -9.9
"""Logistic weights of the best sentence and of the passage's words, fitted by `benchmarks.retrieval_quality`."""

MAX_QUOTES = 3
QUOTE_MARGIN = 0.1
"""Further sentences are quoted if they score within this of the best."""
EVIDENCE_WEIGHT = 0.06
"""What a sentence gains for each unit of log odds that its passage holds the answer."""
HEADING = 0.3
"""How much a heading says about a sentence below it, beside the sentence itself."""
HEADING_WORDS = 6
SAME = 0.92
"""Cosine above which two sentences say the same."""


class SentenceReranker:
    """The probability that a passage holds the answer, from its best sentence and the words that it shares.

    It needs no score of the search, only its order: the sentences of the first passages are read, the others stay
    behind them.
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
        read = await self.features(question, passages[: self._read])
        judged = [_probability(best, share) for best, share in read]
        # What is not read cannot overtake, and keeps the order in which it was found.
        return judged + [min(judged)] * (len(passages) - len(judged)) if judged else []

    async def features(self, question: str, passages: Sequence[Passage]) -> list[tuple[float, float]]:
        """Of each passage: the score of its best sentence, and its share of the question's words."""
        if not passages:
            return []
        held = [stems(" ".join((passage.title, *passage.section, passage.text))) for passage in passages]
        weights = weigh(question, held)
        read = [_statements(passage) or [_Statement(passage.text, "", leads=True)] for passage in passages]
        scores, _ = await _score(self._vectors, question, weights, [one for found in read for one in found])
        ends = np.cumsum([len(found) for found in read])
        best = [float(part.max()) for part in np.split(scores, ends[:-1])]
        return [(score, coverage(weights, words)) for score, words in zip(best, held, strict=True)]


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
        found = [(index, one) for index, passage in enumerate(passages) for one in _statements(passage)]
        if not found:
            return
        weights = weigh(question, [stems(passage.text) for passage in passages])
        scores, vectors = await _score(self._vectors, question, weights, [one for _, one in found])
        scores += np.array([EVIDENCE_WEIGHT * _log_odds(passages[index]) for index, _ in found])
        scores -= np.array([float(one.leads or stems(one.text) <= set(weights)) for _, one in found])
        previous = None
        for place in sorted(_choose(scores, vectors)):
            index, one = found[place]
            gap = "" if previous is None else " " if previous == index else "\n\n"
            yield Fragment(text=gap + one.text, passage=index)
            previous = index
        yield Fragment(text="", usage=Usage())


class _Statement(NamedTuple):
    text: str
    heading: str
    """What stands above it and says what it is about; empty for a heading."""
    leads: bool
    """A heading or a question: it answers nothing, what follows it does."""


def _statements(passage: Passage) -> list[_Statement]:
    above = (passage.title, *passage.section)
    heading, found = above[-1], list[_Statement]()
    for sentence in sentences(passage.text):
        leads = sentence.text in above or _leads(sentence.text)
        heading = sentence.text if leads else heading
        found.append(_Statement(sentence.text, "" if leads else heading, leads))
    return found


async def _score(
    vectors: SentenceVectors, question: str, weights: Mapping[str, float], found: Sequence[_Statement]
) -> tuple[NDArray[np.float64], Vectors]:
    """How near each statement stands to the question, and its vector; its heading counts for `HEADING`."""
    headings = list(dict.fromkeys(one.heading for one in found if one.heading))
    cosines, rows = await vectors.compare(question, [one.text for one in found] + headings)
    places = {heading: len(found) + place for place, heading in enumerate(headings)}
    scores = np.zeros(len(found))
    for place, one in enumerate(found):
        near, share = cosines[place], coverage(weights, stems(one.text))
        if one.heading:
            above = places[one.heading]
            leaning = rows[place] + HEADING * rows[above]
            near = (near + HEADING * cosines[above]) / float(np.linalg.norm(leaning))
            share += HEADING * (coverage(weights, stems(one.text) | stems(one.heading)) - share)
        scores[place] = near + WORDS_WEIGHT * share
    return scores, rows[: len(found)]


def _probability(sentence: float, words: float) -> float:
    return 1 / (1 + math.exp(-(SENTENCE * sentence + PASSAGE * words + NOTHING)))


def _log_odds(passage: Passage) -> float:
    probability = min(max(passage.scores.get("rerank", 0.5), 1e-3), 1 - 1e-3)
    return math.log(probability / (1 - probability))


def _leads(text: str) -> bool:
    if text.startswith("#") or text.endswith(("?", ":")):
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
