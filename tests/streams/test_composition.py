"""The composition root: what a URL that names no backend is told."""

from typing import Any

import pytest

from processors.backends.embedded.onnx import OnnxEmbedder
from processors.errors import Poison
from streams.composition import Backends, UnknownBackend
from streams.pools.ports import PooledEmbedder, PooledGenerator
from streams.settings import Settings


@pytest.mark.parametrize(
    ("port", "url", "known"),
    [
        ("parser", "tika://host", "embedded://"),
        ("parser", "embedded://unstructred", "embedded://unstructured, embedded://unstructured?pdf=hires"),
        ("parser", "embedded://unstructured?pdf=hi_res", "embedded://unstructured, embedded://unstructured?pdf=hires"),
        ("reranker", "embedded://minilm-l6", "embedded://minilm"),
        ("index", "qdrant://host", "milvus+http://, milvus+https://"),
        (
            "embedder",
            "tei://host:8080",
            "embedded://, tei+http://, tei+https://, triton+grpc://, triton+grpcs://",
        ),
        ("sparse", "http://host:8080", "tei+http://, tei+https://"),
    ],
)
def test_a_url_that_names_no_backend_is_told_the_known_ones(port: str, url: str, known: str) -> None:
    settings: dict[str, Any] = {port: url}
    with pytest.raises(UnknownBackend) as error:
        getattr(Backends(Settings(**settings)), port)
    assert str(error.value) == f"{port}: no backend for {url!r}; known: {known}"


@pytest.mark.parametrize("port", ["embedder", "reranker", "sparse"])
def test_keys_travel_in_settings_of_their_own_and_never_in_urls(port: str) -> None:
    settings: dict[str, Any] = {port: "tei+https://me:s3cret@host:8080"}
    with pytest.raises(Poison, match=f"into {port}_key") as error:
        getattr(Backends(Settings(**settings)), port)
    assert "s3cret" not in str(error.value)


def test_without_a_sparse_encoder_there_is_none() -> None:
    assert Backends(Settings()).sparse is None


def test_triton_stands_behind_three_ports() -> None:
    url = "triton+grpc://127.0.0.1:8001/model"
    backends = Backends(Settings(embedder=url, reranker=url, generator=url))
    made = (backends.embedder, backends.reranker, backends.generators["generative"])
    assert [type(each).__name__ for each in made] == ["TritonEmbedder", "TritonReranker", "TritonGenerator"]


def test_one_url_is_a_backend_and_several_are_a_pool() -> None:
    alone = Backends(Settings(embedder="embedded://minilm-int8")).embedder
    pooled = Backends(Settings(embedder=("embedded://minilm-int8", "embedded://minilm-int8?threads=1"))).embedder
    named = Backends(Settings(generator="openai+http://vllm:8000/v1?model=m&resolve=all")).generators["generative"]
    assert isinstance(alone, OnnxEmbedder)
    assert isinstance(pooled, PooledEmbedder)
    assert isinstance(named, PooledGenerator)


def test_each_url_of_a_pool_must_name_a_backend() -> None:
    with pytest.raises(UnknownBackend, match="no backend for 'tie:"):
        _ = Backends(Settings(embedder=("embedded://minilm-int8", "tie://host"))).embedder
