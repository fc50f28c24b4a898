"""The stand-in held to the OpenAPI document that TEI publishes and serves, `openapi.json` (Apache-2.0)."""

import json
from collections.abc import Mapping

import pytest
from jsonschema import Draft202012Validator, ValidationError

from tests.servers.tei.exchanges import Answer, Json
from tests.servers.tei.replay import Stage, ask
from tests.servers.tei.server import OPENAPI

MINILM, RERANKER, CLASSIFIER = "--model-id minilm", "--model-id reranker", "--model-id classifier"
SPARSE = "--model-id sparse"

CASES: list[tuple[str, str, Json, int]] = [
    (MINILM, "get /health", None, 200),
    (MINILM, "get /info", None, 200),
    (RERANKER, "get /info", None, 200),
    (CLASSIFIER, "get /info", None, 200),
    (SPARSE, "get /info", None, 200),
    (MINILM, "get /metrics", None, 200),
    (MINILM, "post /embed", {"inputs": ["hello", [101, 2088, 102]], "truncation_direction": "Left"}, 200),
    (MINILM, "post /embed", {"inputs": ""}, 400),
    (MINILM, "post /embed", {"inputs": {"$repeat": ["a", 33]}}, 422),
    (RERANKER, "post /embed", {"inputs": "a"}, 424),
    (MINILM + " --max-concurrent-requests 4", "post /embed", {"inputs": {"$repeat": ["a", 5]}}, 429),
    (MINILM, "post /embed_all", {"inputs": "hello world"}, 200),
    (MINILM, "post /embed_all", {"inputs": ["a", ""]}, 400),
    (SPARSE, "post /embed_sparse", {"inputs": ["hello world", "..."]}, 200),
    (SPARSE, "post /embed_sparse", {"inputs": [""]}, 400),
    (MINILM, "post /embed_sparse", {"inputs": "hello"}, 424),
    (RERANKER, "post /rerank", {"query": "a", "texts": ["b", "c"], "return_text": True}, 200),
    (RERANKER, "post /rerank", {"query": "a", "texts": []}, 400),
    (CLASSIFIER, "post /predict", {"inputs": "good"}, 200),
    (CLASSIFIER, "post /predict", {"inputs": [["good"], ["bad", "news"]]}, 200),
    (MINILM, "post /predict", {"inputs": "good"}, 424),
    (MINILM, "post /similarity", {"inputs": {"source_sentence": "a", "sentences": ["b"]}}, 200),
    (MINILM, "post /similarity", {"inputs": {"source_sentence": "a", "sentences": []}}, 400),
    (MINILM, "post /tokenize", {"inputs": ["hello", "world"]}, 200),
    (MINILM, "post /tokenize", {"inputs": "a", "prompt_name": "q"}, 422),
    (MINILM, "post /decode", {"ids": [[101, 7592, 102], [2088]]}, 200),
    (MINILM, "post /decode", {"ids": []}, 400),
    (MINILM, "post /v1/embeddings", {"input": ["hello", "world"]}, 200),
    (MINILM, "post /v1/embeddings", {"input": "hello", "encoding_format": "base64"}, 200),
]


@pytest.fixture(scope="module")
def document() -> Mapping[str, Json]:
    found = json.loads(OPENAPI.read_bytes())
    assert isinstance(found, dict)
    return found


def test_every_published_operation_is_tried(document: Mapping[str, Json]) -> None:
    paths = document["paths"]
    assert isinstance(paths, dict)
    published = {f"{method} {path}" for path, methods in paths.items() for method in _object(methods)}
    assert published == {operation for _, operation, _, _ in CASES}


@pytest.mark.parametrize("case", CASES)
def test_answers_have_the_published_form(
    case: tuple[str, str, Json, int], stand_ins: Stage, document: Mapping[str, Json]
) -> None:
    server, operation, body, status = case
    answer = _asked(stand_ins, server, operation, body)
    assert answer.status == status
    content = _object(_responses(document, operation)[str(status)]).get("content", {})
    if not content:
        assert not answer.body
        return
    media_type, _, _ = answer.headers["content-type"].partition(";")
    given = json.loads(answer.body) if media_type == "application/json" else answer.body.decode()
    _validate(given, _object(_object(content)[media_type])["schema"], document)


@pytest.mark.parametrize("body", [{"input": ""}, {"input": {"$repeat": ["a", 33]}}])
def test_errors_of_openais_path_are_named_otherwise_than_published(
    body: Json, stand_ins: Stage, document: Mapping[str, Json]
) -> None:
    """A real server says `type` where the document says `error_type`; the rest is as published."""
    answer = json.loads(_asked(stand_ins, MINILM, "post /v1/embeddings", body).body)
    schema: Json = {"$ref": "#/components/schemas/OpenAICompatErrorResponse"}
    with pytest.raises(ValidationError, match="'error_type' is a required property"):
        _validate(answer, schema, document)
    _validate({**answer, "error_type": answer["type"]}, schema, document)


def _asked(stand_ins: Stage, server: str, operation: str, body: Json) -> Answer:
    method, path = operation.split(" ")
    request: dict[str, Json] = {"method": method.upper(), "path": path}
    return ask(stand_ins.server(server).port, request if body is None else {**request, "body": body})


def _responses(document: Mapping[str, Json], operation: str) -> dict[str, Json]:
    method, path = operation.split(" ")
    return _object(_object(_object(_object(document["paths"])[path])[method])["responses"])


def _validate(given: object, schema: Json, document: Mapping[str, Json]) -> None:
    whole = {"allOf": [_nullable(schema)], "components": _nullable(document["components"])}
    Draft202012Validator(whole).validate(given)


def _nullable(schema: Json) -> Json:
    """The schema in JSON Schema's words, where null is a type of its own."""
    if isinstance(schema, list):
        return [_nullable(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    found = {key: _nullable(value) for key, value in schema.items()}
    return {"anyOf": [found, {"type": "null"}]} if schema.get("nullable") is True else found


def _object(given: Json) -> dict[str, Json]:
    assert isinstance(given, dict)
    return given
