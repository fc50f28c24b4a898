"""Rerank: candidates in, evidence out."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from processors.ports import Reranker
from schemas import PassagesRanked, PassagesRetrieved


@dataclass(frozen=True, slots=True)
class Rerank:
    """Keep the passages that answer the question best, best first, each with its score."""

    reranker: Reranker

    async def __call__(self, event: PassagesRetrieved, /) -> Sequence[PassagesRanked]:
        scores = await self.reranker.rerank(event.query.text, event.passages)
        best = sorted(zip(scores, event.passages, strict=True), key=lambda judged: -judged[0])[: event.query.top_k]
        evidence = [replace(passage, scores={**passage.scores, "rerank": score}) for score, passage in best]
        return [PassagesRanked(query=event.query, passages=tuple(evidence))]
