"""What every Reranker must do. A backend's tests inherit this and provide `reranker`, open."""

from processors.generate import MIN_EVIDENCE
from processors.ports import Reranker
from schemas import MAX_QUESTION_CHARS
from tests.processors.models import evidence, passage


class RerankerContract:
    """Behaviour that does not depend on the model."""

    async def test_the_passage_with_the_answer_scores_highest(self, reranker: Reranker) -> None:
        for question, right in (
            ("When was the tower built?", 0),
            ("How soon are refunds paid?", 1),
            ("WHAT IS COLD SOUP MADE OF???", 2),
        ):
            scores = await reranker.rerank(question, evidence())
            assert max(range(3), key=scores.__getitem__) == right

    async def test_scores_are_probabilities_one_per_passage_in_order(self, reranker: Reranker) -> None:
        scores = await reranker.rerank("When was the tower built?", evidence())
        backwards = await reranker.rerank("When was the tower built?", evidence()[::-1])
        assert all(0 <= score <= 1 for score in scores)
        assert [round(score, 3) for score in backwards[::-1]] == [round(score, 3) for score in scores]

    async def test_scores_tell_a_question_with_an_answer_from_one_without(self, reranker: Reranker) -> None:
        answered = await reranker.rerank("When was the tower built?", evidence())
        absent = await reranker.rerank("What is the capital of Mongolia?", evidence())
        assert max(absent) < MIN_EVIDENCE
        assert max(answered) > 10 * MIN_EVIDENCE

    async def test_no_passages_get_no_scores(self, reranker: Reranker) -> None:
        assert list(await reranker.rerank("When was the tower built?", [])) == []

    async def test_questions_and_passages_in_odd_shapes_are_judged(self, reranker: Reranker) -> None:
        odd = [
            passage("\U0001f600"),
            passage("..."),
            passage("x" * 5000),
            passage("|a|b|\n|1|2|"),
            passage("\u6771\u4eac"),
        ]
        for question in (
            "\U0001f600\U0001f600",
            "?",
            "what is it",
            "Wo?",
            ("why " * MAX_QUESTION_CHARS)[:MAX_QUESTION_CHARS],
        ):
            scores = await reranker.rerank(question, odd)
            assert len(scores) == len(odd)
            assert all(0 <= score <= 1 for score in scores)

    async def test_more_passages_than_are_read_closely_keep_their_places(self, reranker: Reranker) -> None:
        many = evidence() + [passage(f"Note {number} on gardens.", ordinal=number, dense=0.9) for number in range(47)]
        scores = await reranker.rerank("When was the tower built?", many)
        assert len(scores) == 50
        assert scores[0] == max(scores)
