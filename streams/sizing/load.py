"""What is asked of a deployment."""

from dataclasses import dataclass
from math import ceil, isfinite

from streams.sizing.figures import Figures


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What a deployment has to hold and to bear at its busiest."""

    chunks: int
    """Of all tenants, live."""
    documents_s: float
    """Published per second, new or changed; each is counted as if all of it had to be embedded."""
    queries_s: float
    document_bytes: int = 20_000
    """Of text, in the mean document."""
    dimensions: int = 384
    """Of the vectors."""
    generative: float = 0.0
    """Share of the questions that a language model answers, 0 to 1; the others are answered by extraction."""
    answer_tokens: int = 128
    """Of a generated answer; the default of the setting `generator` cuts there."""
    target_latency_s: float = 5.0
    """From a question to the last word of its generated answer."""
    replicas: int = 2
    """Of everything that must outlive the loss of a machine: with so many, one fewer still bears the load."""
    tenants: int = 1
    """Of similar size; a search reads its tenant's partition alone."""

    def __post_init__(self) -> None:
        least_one = {
            "chunks": self.chunks,
            "document_bytes": self.document_bytes,
            "dimensions": self.dimensions,
            "answer_tokens": self.answer_tokens,
            "replicas": self.replicas,
            "tenants": self.tenants,
        }
        for name, number in least_one.items():
            if number < 1:
                raise ValueError(f"{name} is {number}: give at least 1")
        for name, rate in (("documents_s", self.documents_s), ("queries_s", self.queries_s)):
            if not isfinite(rate) or rate < 0:
                raise ValueError(f"{name} is {rate}: give 0 or more")
        if not 0 <= self.generative <= 1:
            raise ValueError(f"generative is {self.generative}: it is a share, from 0 to 1")
        if not isfinite(self.target_latency_s) or self.target_latency_s <= 0:
            raise ValueError(f"target_latency_s is {self.target_latency_s}: give more than 0")

    def chunks_per_document(self, figures: Figures) -> int:
        return ceil(self.document_bytes / figures.chunk_bytes)

    def chunks_s(self, figures: Figures) -> float:
        return self.documents_s * self.chunks_per_document(figures)

    def documents(self, figures: Figures) -> int:
        return ceil(self.chunks / self.chunks_per_document(figures))
