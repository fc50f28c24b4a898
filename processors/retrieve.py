"""Retrieve: a question in, the passages that might answer it out."""

from collections.abc import Sequence
from dataclasses import dataclass

from processors.errors import Poison
from processors.ports import Embedder, Index, Search
from schemas import MAX_QUESTION_CHARS, PassagesRetrieved, QueryAsked


@dataclass(frozen=True, slots=True)
class Retrieve:
    """Find the passages that are nearest to a question, by meaning and by words, among those its asker may read."""

    embedder: Embedder
    index: Index
    candidates: int = 50
    """Passages for the reranker to choose the evidence from."""

    async def __call__(self, query: QueryAsked, /) -> Sequence[PassagesRetrieved]:
        if not query.text.strip():
            raise Poison("empty-question", "the question has no text: ask in at least one word")
        if len(query.text) > MAX_QUESTION_CHARS:
            raise Poison(
                "question-too-long",
                f"the question has {len(query.text):,} characters, at most {MAX_QUESTION_CHARS:,} are read: "
                "shorten it, or publish the text as a document and ask about it",
            )
        [vector] = await self.embedder.embed([query.text], role="query")
        search = Search(
            tenant=query.tenant,
            text=query.text,
            vector=vector,
            model=self.embedder.model,
            limit=self.candidates,
            principals=query.principals,
            filters=query.filters,
        )
        return [PassagesRetrieved(query=query, passages=tuple(await self.index.search(search)))]
