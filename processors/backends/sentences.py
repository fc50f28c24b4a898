"""Evidence judged and answers quoted sentence by sentence, on the vectors of an embedder."""

import math
from collections.abc import AsyncGenerator, Sequence

import numpy as np

from processors.backends.sentence_vectors import SentenceVectors
from processors.ports import Fragment
from processors.sentences import Sentence, sentences
from schemas import AnswerMode, Passage, Usage

READ_PASSAGES = 10
"""Passages whose sentences are read, the first as the search gives them; docs/retrieval.md has the figures."""
MAX_QUOTES = 3


class SentenceReranker:
    """The probability that a passage holds the answer, from its best sentence and the scores of the search."""

    def __init__(self, vectors: SentenceVectors) -> None:
        self._vectors = vectors

    async def open(self) -> None:
        await self._vectors.open()

    async def close(self) -> None:
        await self._vectors.close()

    async def check(self) -> str:
        return await self._vectors.check()

    async def rerank(self, question: str, passages: Sequence[Passage]) -> Sequence[float]:
        if not passages:
            return []
        read = passages[:READ_PASSAGES]
        texts = [[sentence.text for sentence in sentences(passage.text)] or [passage.text] for passage in read]
        best = await self._vectors.best(question, texts)
        return [
            _probability(passage, best[place] if place < len(best) else None) for place, passage in enumerate(passages)
        ]


def _probability(passage: Passage, best: float | None) -> float:
    dense = passage.scores.get("dense", best or 0.0)
    best = dense if best is None else best
    bm25 = passage.scores.get("bm25", 0.0)
    return 1 / (1 + math.exp(-(-9.0 + 4.0 * dense + 8.0 * best + 0.12 * bm25)))


class SentenceExtractor:
    """Answers with the sentences of the evidence that stand nearest to the question, verbatim."""

    def __init__(self, vectors: SentenceVectors) -> None:
        self._vectors = vectors

    @property
    def mode(self) -> AnswerMode:
        return "extractive"

    @property
    def model(self) -> str:
        return f"sentences:{self._vectors.model}"

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
        scores, vectors = await self._vectors.scores(question, [sentence.text for _, sentence in found])
        chosen = sorted(_choose(found, scores, vectors))
        previous = None
        for place in chosen:
            index, sentence = found[place]
            gap = "" if previous is None else " " if previous == index else "\n\n"
            yield Fragment(text=gap + sentence.text, passage=index, usage=Usage())
            previous = index


def _choose(found: Sequence[tuple[int, Sentence]], scores: np.ndarray, vectors: np.ndarray) -> list[int]:
    order = list(np.argsort(-scores))
    chosen: list[int] = []
    for place in order:
        if len(chosen) == MAX_QUOTES or (chosen and scores[place] < 0.85 * scores[order[0]]):
            break
        if not chosen or float((vectors[chosen] @ vectors[place]).max()) < 0.9:
            chosen.append(int(place))
    return chosen
