"""What the search and the reranker find, and when answers are refused: `python -m benchmarks.retrieval_quality DATA`.

DATA is a folder with SQuAD 2.0 as `articles.jsonl` and `questions.jsonl` (docs/retrieval.md says what they hold). An
absent question is one whose article is taken out of the corpus.
"""

import asyncio
import random
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from benchmarks import late_interaction, squad
from processors.backends.embedded.onnx import OnnxEmbedder
from processors.backends.embedded.sentence_vectors import SentenceVectors
from processors.backends.embedded.sentences import (
    NOTHING,
    PASSAGE,
    READ_PASSAGES,
    SENTENCE,
    SentenceExtractor,
    SentenceReranker,
)
from processors.generate import MIN_EVIDENCE
from processors.ports import Role, Vectors
from processors.sentences import sentences
from schemas import DocumentId, Passage

Scores = NDArray[np.float64]
SPARED = 6
"""Late interaction takes minutes: one question in six shows what it gives."""
TIMED = 12
"""Questions whose cost is measured, with nothing cached."""


class Known:
    """An embedder that has seen every text before."""

    model, dimensions = "known", 384

    def __init__(self) -> None:
        self._vectors: dict[str, Vectors] = {}

    async def learn(self, embedder: OnnxEmbedder, texts: Sequence[str]) -> Vectors:
        vectors = await embedder.embed(texts, role="passage")
        self._vectors |= dict(zip(texts, vectors, strict=True))
        return vectors

    async def open(self) -> None: ...
    async def close(self) -> None: ...
    async def check(self) -> str:
        return f"{len(self._vectors)} texts"

    async def embed(self, texts: Sequence[str], *, role: Role) -> Vectors:
        return np.stack([self._vectors[text] for text in texts])


@dataclass(frozen=True, slots=True)
class Found:
    """The candidates of one question in the search's order."""

    question: squad.Question
    passages: tuple[Passage, ...]

    @property
    def gold(self) -> int | None:
        """Place of the right passage among them."""
        ids = [passage.ordinal for passage in self.passages]
        return ids.index(self.question.gold) if self.question.gold in ids else None


def search(corpus: squad.Corpus, dense: squad.Matrix, sparse: squad.Matrix, *, absent: bool) -> list[Found]:
    """What the index would find; without the question's own article where it is to be absent."""
    articles, found = np.array(corpus.articles), []
    for row, question in enumerate(corpus.questions):
        here = np.flatnonzero(articles != question.article) if absent else np.arange(len(articles))
        places, fused = squad.candidates(dense[row, here], sparse[row, here])
        ids = here[places]
        scores = zip(ids.tolist(), dense[row, ids].tolist(), sparse[row, ids].tolist(), fused.tolist(), strict=True)
        found.append(Found(question, tuple(_passage(corpus, *about) for about in scores)))
    return found


def _passage(corpus: squad.Corpus, place: int, dense: float, bm25: float, fused: float) -> Passage:
    return Passage(
        document_id=DocumentId(corpus.articles[place]),
        version=1,
        ordinal=place,
        title="",
        text=corpus.paragraphs[place],
        page=None,
        section=(),
        start=0,
        end=len(corpus.paragraphs[place]),
        metadata={},
        scores={"dense": dense, "bm25": bm25, "fused": fused},
    )


def quality(found: Sequence[Found], judged: Sequence[Scores]) -> str:
    """hit@1, hit@5 and MRR as table cells."""
    ranks = []
    for one, scores in zip(found, judged, strict=True):
        order = np.argsort(-scores, kind="stable").tolist()
        ranks.append(np.inf if one.gold is None else 1 + order.index(one.gold))
    places = np.array(ranks)
    return f"{np.mean(places <= 1):.3f} | {np.mean(places <= 5):.3f} | {np.mean(1 / places):.3f}"


def auc(present: Scores, absent: Scores) -> float:
    """How often a present question's best score lies above an absent one's."""
    ranks = np.concatenate([present, absent]).argsort().argsort()[: len(present)] + 1
    return float((ranks.sum() - len(present) * (len(present) + 1) / 2) / len(present) / len(absent))


def fit(inputs: Scores, right: Scores) -> Scores:
    """Weights of a logistic regression, the constant last (Newton's method)."""
    inputs = np.c_[inputs, np.ones(len(inputs))]
    weights = np.zeros(inputs.shape[1])
    for _ in range(30):
        guess = 1 / (1 + np.exp(-inputs @ weights))
        curve = (inputs * (guess * (1 - guess))[:, None]).T @ inputs + 1e-6 * np.eye(len(weights))
        weights -= np.linalg.solve(curve, inputs.T @ (guess - right))
    return weights


async def fitted(vectors: SentenceVectors, asked: Sequence[Found], *, read: int) -> Scores:
    """The weights that the reranker should have, from questions of the tuned articles."""
    reranker, inputs, right = SentenceReranker(vectors), [], []
    for one in asked:
        inputs += await reranker.features(one.question.text, one.passages[:read])
        right += [passage.ordinal == one.question.gold for passage in one.passages[:read]]
    return fit(np.array(inputs), np.array(right, float))


async def quoted(vectors: SentenceVectors, found: Sequence[Found], judged: Sequence[Scores]) -> Mapping[str, float]:
    """How often the quotes of an extractive answer hold the expected words, and how many there are."""
    extractor, hits, counts, firsts = SentenceExtractor(vectors), 0, 0, 0
    for one, scores in zip(found, judged, strict=True):
        best = [one.passages[place] for place in np.argsort(-scores, kind="stable")[:5]]
        quotes = [part.text async for part in extractor.generate(one.question.text, best) if part.text]
        hits += any(answer in quote for quote in quotes for answer in one.question.answers)
        firsts += len(quotes) == 1
        counts += len(quotes)
    return {"answer quoted": hits / len(found), "quotes": counts / len(found), "one quote only": firsts / len(found)}


async def cost_ms(embedder: OnnxEmbedder, found: Sequence[Found], read: int) -> float:
    """CPU milliseconds of one cold rerank."""
    started = time.process_time()
    for one in _sample(found):
        await SentenceReranker(SentenceVectors(embedder), read=read).rerank(one.question.text, one.passages)
    return (time.process_time() - started) / TIMED * 1000


@dataclass(frozen=True, slots=True)
class Bench:
    """The questions that figures are reported on, with the search's candidates and every vector."""

    embedder: OnnxEmbedder
    vectors: SentenceVectors
    tuned: list[Found]
    """Present and absent, as they were asked and shortened."""
    present: list[Found]
    absent: list[Found]
    lost: tuple[list[Found], list[Found]]
    """The present and absent ones again, shortened."""

    @classmethod
    async def of(cls, corpus: squad.Corpus) -> Self:
        embedder, known = OnnxEmbedder("embedded://minilm-int8"), Known()
        await embedder.open()
        paragraphs = await known.learn(embedder, corpus.paragraphs)
        await known.learn(embedder, sorted({part.text for text in corpus.paragraphs for part in sentences(text)}))
        tuned: list[Found] = []
        reported: list[list[Found]] = []
        for asked in (corpus.questions, squad.shortened(corpus.questions)):
            texts = [question.text for question in asked]
            dense = await known.learn(embedder, texts) @ paragraphs.T
            sparse = squad.bm25(corpus.paragraphs, texts)
            for absent in (False, True):
                found = search(replace(corpus, questions=asked), dense, sparse, absent=absent)
                tuned += [one for one in found if one.question.article in squad.TUNED]
                reported.append([one for one in found if one.question.article not in squad.TUNED])
        present, absent_ones, *lost = reported
        return cls(embedder, SentenceVectors(known), tuned, present, absent_ones, (lost[0], lost[1]))

    def searched(self, name: str) -> str:
        judged, missing = (
            [np.array([passage.scores[name] for passage in one.passages]) for one in side]
            for side in (self.present, self.absent)
        )
        return f"| {name} | {quality(self.present, judged)} | {auc(_best(judged), _best(missing)):.3f} | |"

    def late(self, states: late_interaction.TokenStates, read: int) -> str:
        judged, asked = [], self.present[::SPARED]
        for one in asked:
            scores = np.full(len(one.passages), -1.0)
            scores[:read] = states.match(one.question.text, [passage.text for passage in one.passages[:read]])
            judged.append(scores)
        sample = [(one.question.text, [p.text for p in one.passages[:read]]) for one in _sample(self.present)]
        cost = late_interaction.cost_ms(late_interaction.TokenStates(), sample)
        return f"| token MaxSim, first {read}, {len(asked)} questions | {quality(asked, judged)} | | {cost:.0f} |"

    async def reranked(self, read: int) -> str:
        judged, missing = await self.judge(read)
        cost = await cost_ms(self.embedder, self.present, read)
        separation = auc(_best(judged), _best(missing))
        return (
            f"| sentences and words, first {read} | {quality(self.present, judged)} | {separation:.3f} | {cost:.0f} |"
        )

    async def judge(self, read: int) -> tuple[list[Scores], list[Scores]]:
        return await self.judged(self.present, read), await self.judged(self.absent, read)

    async def judged(self, asked: Sequence[Found], read: int = READ_PASSAGES) -> list[Scores]:
        reranker = SentenceReranker(self.vectors, read=read)
        return [np.array(await reranker.rerank(one.question.text, one.passages)) for one in asked]


async def report(folder: Path) -> None:
    """Print the tables of docs/retrieval.md."""
    bench = await Bench.of(squad.load(folder))
    print(f"{len(bench.present)} questions present and absent, {bench.embedder.model}")
    print("\n| ranking | hit@1 | hit@5 | MRR | AUC present/absent | CPU ms |\n|---|---|---|---|---|---|")
    for name in ("dense", "bm25", "fused"):
        print(bench.searched(name), flush=True)
    states = late_interaction.TokenStates()
    print(bench.late(states, 10), flush=True)
    for read in (5, READ_PASSAGES, 20):
        print(await bench.reranked(read), flush=True)
    judged, missing = await bench.judge(READ_PASSAGES)
    sides = [_best(judged), _best(missing), *[_best(await bench.judged(side)) for side in bench.lost]]
    print("\n| min_evidence | present refused | absent answered | shortened: present refused | absent answered |")
    print("|---|---|---|---|---|")
    for threshold in sorted({0.01, 0.02, 0.05, 0.1, 0.2, MIN_EVIDENCE}):
        mark = " (default)" if threshold == MIN_EVIDENCE else ""
        rates = [np.mean(side >= threshold if place % 2 else side < threshold) for place, side in enumerate(sides)]
        print(f"| {threshold}{mark} | " + " | ".join(f"{rate:.3f}" for rate in rates) + " |")
    print("\n| probability | passages | of these right |\n|---|---|---|")
    for line in calibration(bench.present, judged):
        print(line)
    print("\nExtractive:", await quoted(bench.vectors, bench.present, judged))
    weights = await fitted(bench.vectors, bench.tuned, read=READ_PASSAGES)
    print(f"Weights fitted: {weights.round(2).tolist()}; in use: {[SENTENCE, PASSAGE, NOTHING]}")
    await bench.embedder.close()


def calibration(found: Sequence[Found], judged: Sequence[Scores]) -> Iterator[str]:
    """How often a best passage is the right one, by the probability that it was given."""
    best = np.array([scores.max() for scores in judged])
    right = np.array([one.gold == int(scores.argmax()) for one, scores in zip(found, judged, strict=True)])
    for low, high in ((0, 0.1), (0.1, 0.3), (0.3, 0.5), (0.5, 0.7), (0.7, 0.9), (0.9, 1.01)):
        inside = (best >= low) & (best < high)
        if inside.any():
            yield f"| {low} to {min(high, 1)} | {inside.sum()} | {right[inside].mean():.2f} |"


def _best(judged: Sequence[Scores]) -> Scores:
    return np.array([scores.max() for scores in judged])


def _sample(found: Sequence[Found]) -> list[Found]:
    return random.Random(1).sample(list(found), TIMED)


def main() -> None:
    """Run on the folder that the command line names."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path()
    if len(sys.argv) != 2 or not (folder / "articles.jsonl").is_file():
        print(f"SKIPPED: no articles.jsonl in {str(folder)!r}; give the folder of the data set", file=sys.stderr)
        raise SystemExit(2)
    asyncio.run(report(folder))


if __name__ == "__main__":
    main()
