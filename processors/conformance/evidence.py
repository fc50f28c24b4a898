"""Passages to judge and to answer from."""

from collections.abc import Mapping
from dataclasses import replace

from schemas import DocumentId, Passage

TOWER = (
    "# The tower\nThe tower stands in Paris. It was built from 1887 to 1889 by the engineers of Gustave Eiffel. "
    "About 7 million people climb it every year."
)
REFUNDS = "Refunds are paid within 14 days. Write to the office, and name the number of your order."
SOUP = "Cold soup is made of tomatoes. It is eaten in summer."


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


def evidence(scores: Mapping[str, float] | None = None) -> list[Passage]:
    """A passage each on a tower, on refunds and on soup."""
    texts = (TOWER, REFUNDS, SOUP)
    return [replace(passage(text, ordinal=place, start=1000), scores=scores or {}) for place, text in enumerate(texts)]
