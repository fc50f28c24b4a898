from collections.abc import Sequence

from processors.rerank import Rerank
from schemas import Passage, PassagesRetrieved
from tests.processors.happenings import asked
from tests.processors.models import evidence


class ByLength:
    """Judges longer passages better."""

    async def open(self) -> None: ...
    async def close(self) -> None: ...
    async def check(self) -> str:
        return "by length"

    async def rerank(self, question: str, passages: Sequence[Passage]) -> Sequence[float]:
        return [min(1, len(passage.text) / 1000) for passage in passages]


async def test_the_best_passages_come_first_with_their_score_beside_the_others() -> None:
    event = PassagesRetrieved(query=asked("Why?", top_k=2), passages=tuple(evidence({"dense": 0.4})[::-1]))
    [ranked] = await Rerank(ByLength())(event)
    assert [passage.document_id for passage in ranked.passages] == ["doc-0", "doc-1"]
    assert ranked.passages[0].scores == {"dense": 0.4, "rerank": len(evidence()[0].text) / 1000}
    assert ranked.query == event.query


async def test_equal_scores_keep_the_order_of_the_search() -> None:
    same = [evidence()[0] for _ in range(3)]
    event = PassagesRetrieved(query=asked("Why?"), passages=tuple(same))
    [ranked] = await Rerank(ByLength())(event)
    assert [passage.ordinal for passage in ranked.passages] == [0, 0, 0]


async def test_a_question_without_candidates_goes_on_to_be_refused() -> None:
    [ranked] = await Rerank(ByLength())(PassagesRetrieved(query=asked("Why?"), passages=()))
    assert ranked.passages == ()
