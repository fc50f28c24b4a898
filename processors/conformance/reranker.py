"""What every Reranker must do, whatever its model."""

from collections.abc import Sequence

from processors.conformance import Check, equal, holds
from processors.conformance.evidence import evidence, passage
from processors.generate import MIN_EVIDENCE
from processors.ports import Reranker
from schemas import MAX_QUESTION_CHARS

TOWER_ASKED = "When was the tower built?"
ROUNDING = 0.02
"""Between scores of one passage from batches of different shapes."""


async def the_passage_with_the_answer_scores_highest(reranker: Reranker) -> None:
    """Of three passages, the one that answers the question gets the highest score."""
    for question, right in ((TOWER_ASKED, 0), ("How soon are refunds paid?", 1), ("WHAT IS COLD SOUP MADE OF???", 2)):
        scores = await reranker.rerank(question, evidence())
        best = max(range(len(scores)), key=scores.__getitem__)
        equal(
            best, right, f"the best passage for {question!r} (scores {_shown(scores)})", "answers cite wrong passages"
        )


async def scores_are_probabilities_one_per_passage_in_order(reranker: Reranker) -> None:
    """Every passage gets a score in [0, 1], the same wherever it stands in the list."""
    scores = await reranker.rerank(TOWER_ASKED, evidence())
    backwards = await reranker.rerank(TOWER_ASKED, evidence()[::-1])
    _probabilities(scores, 3)
    _probabilities(backwards, 3)
    apart = max(abs(one - other) for one, other in zip(scores, backwards[::-1], strict=True))
    said = f"scores {_shown(scores)} forwards and {_shown(backwards)} backwards: expected the same ones in reverse"
    holds(apart <= ROUNDING, said, "scores go to the wrong passages")


async def scores_tell_a_question_with_an_answer_from_one_without(reranker: Reranker) -> None:
    """Scores are comparable between questions: where no passage answers, all stay below the refusal's threshold."""
    answered = max(await reranker.rerank(TOWER_ASKED, evidence()))
    absent = max(await reranker.rerank("What is the capital of Mongolia?", evidence()))
    said = f"the best score without an answer: expected below {MIN_EVIDENCE}, got {absent:.4f}"
    holds(absent < MIN_EVIDENCE, said, "questions that no document answers are answered all the same")
    said = f"the best score with an answer: expected above {10 * MIN_EVIDENCE}, got {answered:.4f}"
    holds(answered > 10 * MIN_EVIDENCE, said, "questions that a document answers are refused")


async def no_passages_get_no_scores(reranker: Reranker) -> None:
    """An empty list gives an empty list."""
    equal(list(await reranker.rerank(TOWER_ASKED, [])), [], "the scores of no passages", "empty searches fail")


async def questions_and_passages_in_odd_shapes_are_judged(reranker: Reranker) -> None:
    """Emoji, dots, tables, other scripts and the longest question that may be asked all get scores."""
    texts = ("\U0001f600", "...", "x" * 5000, "|a|b|\n|1|2|", "\u6771\u4eac")
    odd = [passage(text) for text in texts]
    longest = ("why " * MAX_QUESTION_CHARS)[:MAX_QUESTION_CHARS]
    for question in ("\U0001f600\U0001f600", "?", "what is it", "Wo?", longest):
        _probabilities(await reranker.rerank(question, odd), len(odd))


async def fifty_passages_keep_their_places(reranker: Reranker) -> None:
    """More passages than a server takes in one batch get their scores in order."""
    many = evidence() + [passage(f"Note {number} on gardens.", ordinal=number, dense=0.9) for number in range(47)]
    scores = await reranker.rerank(TOWER_ASKED, many)
    _probabilities(scores, len(many))
    best = max(range(len(scores)), key=scores.__getitem__)
    equal(best, 0, "the best of fifty passages, of which the first has the answer", "answers cite wrong passages")


async def it_says_that_it_works(reranker: Reranker) -> None:
    """There is one line about the service."""
    holds(await reranker.check(), "the line about the service is empty", "`headwater doctor` has nothing to say")


def _probabilities(scores: Sequence[float], count: int) -> None:
    equal(len(scores), count, "the number of scores", "passages and scores cannot be paired")
    within = all(0 <= score <= 1 for score in scores)
    holds(within, f"scores in [0, 1] expected, got {_shown(scores)}", "no threshold can be set")


def _shown(scores: Sequence[float]) -> str:
    return "[" + ", ".join(f"{score:.4f}" for score in scores) + "]"


CHECKS: tuple[Check[Reranker], ...] = (
    it_says_that_it_works,
    the_passage_with_the_answer_scores_highest,
    scores_are_probabilities_one_per_passage_in_order,
    scores_tell_a_question_with_an_answer_from_one_without,
    no_passages_get_no_scores,
    questions_and_passages_in_odd_shapes_are_judged,
    fifty_passages_keep_their_places,
)
