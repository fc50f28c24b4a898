"""What the stand-in computes is worth something: vectors, scores and term weights of a real model."""

import json
from collections.abc import Mapping

import numpy as np
import pytest
from pydantic import TypeAdapter

from tests.processors.models import REFUNDS, SOUP, TOWER, minilm
from tests.servers.tei.exchanges import Json
from tests.servers.tei.replay import Stage, ask

TEXTS: list[Json] = [TOWER, REFUNDS, SOUP]
QUESTIONS = ["When was the tower built?", "How soon are refunds paid?", "What is cold soup made of?"]


WEIGHTS = TypeAdapter(list[list[dict[str, float]]])


def post(stand_ins: Stage, model: str, path: str, body: Mapping[str, Json]) -> Json:
    answer = ask(stand_ins.server(f"--model-id {model}").port, {"method": "POST", "path": path, "body": dict(body)})
    assert answer.status == 200
    found: Json = json.loads(answer.body)
    return found


async def test_vectors_are_those_of_the_model_in_process(stand_ins: Stage) -> None:
    given = np.array(post(stand_ins, "minilm", "/embed", {"inputs": TEXTS}), np.float32)
    own = await minilm().embed([TOWER, REFUNDS, SOUP], role="passage")
    assert np.allclose(np.linalg.norm(given, axis=1), 1)
    assert ((given * own).sum(axis=1) > 0.98).all()


def test_similarities_are_those_of_a_real_server(stand_ins: Stage) -> None:
    sentences: list[Json] = ["That is a happy dog", "That is a very happy person", "Today is a sunny day"]
    body: Json = {"source_sentence": "That is a happy person", "sentences": sentences}
    found = post(stand_ins, "minilm", "/similarity", {"inputs": body})
    assert isinstance(found, list)
    # Of the recording `similarity`, made in float32; these weights have 8 bits.
    assert [float(str(each)) for each in found] == pytest.approx([0.6945735, 0.9428975, 0.25688344], abs=0.05)


def test_the_text_with_the_answer_ranks_first_and_one_without_scores_low(stand_ins: Stage) -> None:
    for place, question in enumerate(QUESTIONS):
        found = post(stand_ins, "reranker", "/rerank", {"query": question, "texts": TEXTS})
        assert isinstance(found, list)
        scores = {row["index"]: float(str(row["score"])) for row in found if isinstance(row, dict)}
        assert next(iter(scores)) == place
        assert all(score > 0.9 if index == place else score < 0.1 for index, score in scores.items())


def test_equal_scores_come_in_descending_order_of_index(stand_ins: Stage) -> None:
    found = post(stand_ins, "reranker", "/rerank", {"query": "deep sea", "texts": ["deep", "cats", "deep", "deep"]})
    assert isinstance(found, list)
    assert [row["index"] for row in found if isinstance(row, dict)] == [3, 2, 0, 1]


def test_shared_words_make_sparse_vectors_meet_and_rare_ones_weigh_more(stand_ins: Stage) -> None:
    texts: list[Json] = [*QUESTIONS, *TEXTS, "the tower"]
    found = post(stand_ins, "sparse", "/embed_sparse", {"inputs": texts})
    rows = [{int(cell["index"]): cell["value"] for cell in row} for row in WEIGHTS.validate_python(found)]
    dots = np.array([[_dot(asked, text) for text in rows[3:6]] for asked in rows[:3]])
    assert (dots.argmax(axis=1) == [0, 1, 2]).all()
    the, tower = sorted(rows[6].values())
    assert tower > 3 * the


def test_labels_follow_the_sentiment(stand_ins: Stage) -> None:
    for text, label in (("What a wonderful, good day!", "pos"), ("This is a terrible, bad mess.", "neg")):
        found = post(stand_ins, "classifier", "/predict", {"inputs": text})
        assert isinstance(found, list)
        assert isinstance(found[0], dict)
        assert found[0]["label"] == label


def _dot(one: Mapping[int, float], other: Mapping[int, float]) -> float:
    return sum(weight * other.get(at, 0) for at, weight in one.items())
