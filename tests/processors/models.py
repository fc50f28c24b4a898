"""The default embedding model, loaded once per run, and evidence to try it on."""

import asyncio
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cache

from processors.backends.onnx import OnnxEmbedder
from schemas import DocumentId, Passage


@cache
def minilm() -> OnnxEmbedder:
    embedder = OnnxEmbedder("embedded://minilm-int8")
    # In a thread, because the caller may be inside a loop already.
    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, embedder.open()).result()
    return embedder


def passage(text: str, *, title: str = "", ordinal: int = 0, start: int = 0, **scores: float) -> Passage:
    return Passage(
        document_id=DocumentId(f"doc-{ordinal}"),
        version=1,
        ordinal=ordinal,
        title=title,
        text=text,
        page=None,
        section=(),
        start=start,
        end=start + len(text),
        metadata={},
        scores=scores,
    )


TOWER = (
    "# The tower\nThe tower stands in Paris. It was built from 1887 to 1889 by the engineers of Gustave Eiffel. "
    "About 7 million people climb it every year."
)
REFUNDS = "Refunds are paid within 14 days. Write to the office, and name the number of your order."
SOUP = "Cold soup is made of tomatoes. It is eaten in summer."


def evidence(scores: Mapping[str, float] | None = None) -> list[Passage]:
    texts = (TOWER, REFUNDS, SOUP)
    return [replace(passage(text, ordinal=place, start=1000), scores=scores or {}) for place, text in enumerate(texts)]
