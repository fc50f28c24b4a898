"""SQuAD 2.0 as a corpus, its questions, and the candidates that a hybrid search gives for them."""

import random
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import orjson
from numpy.typing import NDArray

from processors.backends.milvus.search import DENSE_WEIGHT
from processors.words import STOPWORDS, WORD, normal

TUNED = frozenset({"Immune system", "Normans", "Steam engine", "Warsaw"})
"""Articles whose questions weights are fitted on; figures are reported on the questions of the other four."""
LOST = 0.5
"""Share of a question's words that a shortened one is without."""
ROUTE = 50
"""Passages that each of the two searches gives; the union are the candidates."""
K1, B = 1.2, 0.75

Matrix = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Question:
    text: str
    article: str
    gold: int
    """Index of the paragraph that it was written for."""
    answers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Corpus:
    articles: tuple[str, ...]
    """Title of each paragraph's article."""
    paragraphs: tuple[str, ...]
    questions: tuple[Question, ...]
    """Answerable ones only."""


def load(folder: Path) -> Corpus:
    """The corpus in `folder`; FileNotFoundError where it is not there."""
    rows = [orjson.loads(line) for line in (folder / "articles.jsonl").read_bytes().splitlines()]
    articles = [row["title"] for row in rows for _ in row["paragraphs"]]
    asked = [orjson.loads(line) for line in (folder / "questions.jsonl").read_bytes().splitlines()]
    questions = [
        Question(row["question"], row["title"], articles.index(row["title"]) + row["paragraph"], tuple(row["answers"]))
        for row in asked
        if row["answerable"]
    ]
    paragraphs = [paragraph for row in rows for paragraph in row["paragraphs"]]
    return Corpus(tuple(articles), tuple(paragraphs), tuple(questions))


def shortened(questions: Sequence[Question]) -> tuple[Question, ...]:
    """The questions without half of the words that carry meaning, at random: a rough model of a paraphrase."""
    rng = random.Random(0)

    def lost(word: re.Match[str]) -> str:
        return word.group() if normal(word.group()) in STOPWORDS or rng.random() >= LOST else ""

    return tuple(replace(question, text=WORD.sub(lost, question.text)) for question in questions)


def bm25(paragraphs: Sequence[str], questions: Sequence[str]) -> Matrix:
    """Scores of every paragraph for every question."""
    texts = [Counter(re.findall(r"\w+", text.lower())) for text in paragraphs]
    places = {word: place for place, word in enumerate(dict.fromkeys(word for text in texts for word in text))}
    counts = np.zeros((len(texts), len(places)), np.float32)
    for row, text in enumerate(texts):
        counts[row, [places[word] for word in text]] = list(text.values())
    lengths = counts.sum(axis=1, keepdims=True)
    holders = (counts > 0).sum(axis=0)
    rarity = np.log(1 + (len(texts) - holders + 0.5) / (holders + 0.5))
    weights = rarity * counts * (K1 + 1) / (counts + K1 * (1 - B + B * lengths / lengths.mean()))
    asked = [[places[word] for word in set(re.findall(r"\w+", text.lower())) if word in places] for text in questions]
    return np.stack([weights[:, columns].sum(axis=1) for columns in asked]).astype(np.float32)


def candidates(dense: Matrix, sparse: Matrix) -> tuple[NDArray[np.intp], Matrix]:
    """Of one question: the union of both routes, best fused score first, and these scores."""
    found = np.union1d(np.argsort(-dense)[:ROUTE], np.argsort(-sparse)[:ROUTE])
    fused = DENSE_WEIGHT * _standard(dense[found]) + (1 - DENSE_WEIGHT) * _standard(sparse[found])
    order = np.argsort(-fused, kind="stable")
    return found[order], fused[order]


def _standard(scores: Matrix) -> Matrix:
    return np.asarray((scores - scores.mean()) / (scores.std() + 1e-9), np.float32)
