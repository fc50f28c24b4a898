"""Retrieve: a question in, the passages that might answer it out."""

from collections.abc import Sequence
from dataclasses import dataclass

from processors.errors import NotYet, Poison
from processors.ports import Embedder, Head, Index, Search
from schemas import MAX_QUESTION_CHARS, PassagesRetrieved, QueryAsked

CANDIDATES = 50


@dataclass(frozen=True, slots=True)
class Retrieve:
    """Find the passages that are nearest to a question, by meaning and by words, among those its asker may read.

    Versions that the question must see are looked up before anything is embedded: waiting for them costs no model call.
    """

    embedder: Embedder
    index: Index
    candidates: int = CANDIDATES
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
        heads = await self._heads(query) if query.min_versions else ()
        [vector] = await self.embedder.embed([query.text], role="query")
        search = Search(
            tenant=query.tenant,
            text=query.text,
            vector=vector,
            model=self.embedder.model,
            limit=self.candidates,
            principals=query.principals,
            filters=query.filters,
            heads=heads,
        )
        return [PassagesRetrieved(query=query, passages=tuple(await self.index.search(search)))]

    async def _heads(self, query: QueryAsked) -> tuple[Head, ...]:
        """What searches see of the documents whose versions the question names. Raises NotYet where that is older."""
        heads = await self.index.newest(query.tenant, query.min_versions)
        missing = [
            f"version {version} of {document_id!r} is not visible, {_seen(heads.get(document_id))}"
            for document_id, version in query.min_versions.items()
            if document_id not in heads or heads[document_id].version < version
        ]
        if missing:
            more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
            raise NotYet("not-visible", missing[0] + more, wait_s=query.wait_for_s)
        return tuple(heads.values())


def _seen(head: Head | None) -> str:
    if head is None:
        return "no version of it is"
    return f"version {head.version} is{'' if head.rows_version else ', a deletion'}"
