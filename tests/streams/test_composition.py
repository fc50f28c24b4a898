"""The composition root: what a URL that names no backend is told."""

from typing import Any

import pytest

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
    ],
)
def test_a_url_that_names_no_backend_is_told_the_known_ones(port: str, url: str, known: str) -> None:
    settings: dict[str, Any] = {port: url}
    with pytest.raises(UnknownBackend) as error:
        getattr(Backends(Settings(**settings)), port)
    assert str(error.value) == f"{port}: no backend for {url!r}; known: {known}"
