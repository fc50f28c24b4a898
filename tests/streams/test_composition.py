"""The composition root: what a URL that names no backend is told."""

from typing import Any

import pytest

from processors.errors import Poison
from streams.composition import Backends, UnknownBackend
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
