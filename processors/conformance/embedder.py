"""What every Embedder must do, whatever its model."""

import asyncio

import numpy as np

from processors.conformance import Check, equal, holds, raises
from processors.errors import Poison
from processors.ports import Embedder

ODD = [
    "WHO BUILT THIS?",
    "\U0001f600" * 40,
    "Wo liegt der Bahnhof?",
    "\u6771\u4eac\u306f\u3069\u3053",
    "a",
    "word " * 1600,
]
MANY = 80
"""Texts in one call: more than a server takes in one batch (TEI: 32), and nothing that would load it."""
SAME = 0.999
"""Cosine of one text's vectors from batches of different shapes: rounding, no more."""


async def rows_are_finite_and_of_unit_length(embedder: Embedder) -> None:
    """Every text, however odd or long, gets one finite float32 row of length 1."""
    vectors = await embedder.embed(ODD, role="passage")
    equal(vectors.shape, (len(ODD), embedder.dimensions), "the shape of six texts' vectors", "none can be stored")
    equal(vectors.dtype, np.dtype(np.float32), "the type of the vectors", "the index stores other numbers")
    lengths = np.linalg.norm(vectors, axis=1)
    off = f"the rows' lengths: expected 1, got {lengths.tolist()}"
    holds(np.allclose(lengths, 1, atol=1e-5), off, "scores of different passages cannot be compared")


async def rows_come_in_the_order_of_the_texts(embedder: Embedder) -> None:
    """A text's row is the same alone and among others, in its own place."""
    together = await embedder.embed(ODD, role="passage")
    for place in (0, 2, 5):
        [alone] = await embedder.embed(ODD[place : place + 1], role="passage")
        cosine = float(together[place] @ alone)
        said = f"row {place} of six against the same text alone: expected a cosine of {SAME} or more, got {cosine:.4f}"
        holds(cosine >= SAME, said, "passages are found by other passages' vectors")


async def a_question_is_nearer_to_its_answer_than_to_another_text(embedder: Embedder) -> None:
    """The vectors carry meaning, and those of questions and passages are comparable."""
    [question] = await embedder.embed(["When was the tower built?"], role="query")
    answer, other = await embedder.embed(
        ["The tower was built in 1889.", "Soup is served cold in summer."], role="passage"
    )
    near, far = float(question @ answer), float(question @ other)
    said = f"cosine to the answer {near:.3f}, to a text about soup {far:.3f}: expected the first to be higher"
    holds(near > far, said, "searches find the wrong passages: is it an embedding model, with its own pooling?")


async def no_texts_give_no_rows(embedder: Embedder) -> None:
    """An empty list gives an empty matrix of the right width."""
    vectors = await embedder.embed([], role="passage")
    equal(vectors.shape, (0, embedder.dimensions), "the shape of no vectors", "a document without changes fails")


async def blank_text_is_poison_that_says_which(embedder: Embedder) -> None:
    """A blank text is refused with code `empty-text` and its place in the list."""
    for blank in ("", " \n\t"):
        attempt = embedder.embed(["fine", blank], role="passage")
        error = await raises(Poison, attempt, f"embedding {blank!r}", "blank chunks are found by every question")
        equal(error.code, "empty-text", "the code for a blank text", "programs cannot tell why it was refused")
        said = f"the detail: expected 'text 1 of 2' in it, got {error.detail!r}"
        holds("text 1 of 2" in error.detail, said, "nobody can tell which text was refused")


async def text_without_a_utf8_form_is_poison(embedder: Embedder) -> None:
    """A lone surrogate is refused with code `bad-text`, before it is sent."""
    attempt = embedder.embed(["half \ud83d a pair"], role="passage")
    error = await raises(Poison, attempt, "embedding a lone surrogate", "what is stored is another text")
    equal(error.code, "bad-text", "the code for a lone surrogate", "programs cannot tell why it was refused")


async def a_long_list_is_embedded_whole_and_in_order(embedder: Embedder) -> None:
    """More texts than a server takes in one batch come back all, in order."""
    texts = [f"Number {number} is the house of family {number * 7919 % 1000}." for number in range(MANY)]
    vectors = await embedder.embed(texts, role="passage")
    equal(vectors.shape, (MANY, embedder.dimensions), f"the shape of {MANY} texts' vectors", "long documents fail")
    for place in (0, MANY // 2, MANY - 1):
        [alone] = await embedder.embed(texts[place : place + 1], role="passage")
        nearest = int(np.argmax(vectors @ alone))
        equal(nearest, place, "the row nearest to a text's own vector", "passages are found by others' vectors")


async def many_calls_at_once_get_each_their_own_rows(embedder: Embedder) -> None:
    """24 simultaneous calls with one text each give what one call with 24 texts gives."""
    texts = [f"Paragraph number {number} is about the town of Ex{number}." for number in range(24)]
    together = await asyncio.gather(*(embedder.embed([text], role="passage") for text in texts))
    one_by_one = await embedder.embed(texts, role="passage")
    apart = float(np.abs(np.concatenate(together) - one_by_one).max())
    said = f"the largest difference of a component: expected at most 0.02, got {apart:.3f}"
    holds(apart <= 0.02, said, "documents that are embedded at the same time get each other's vectors")


async def a_cancelled_call_leaves_the_others_alone(embedder: Embedder) -> None:
    """Cancelling one of three calls ends that one and no other."""
    calls = [asyncio.create_task(embedder.embed(["word " * 200] * 4, role="passage")) for _ in range(3)]
    await asyncio.sleep(0)
    calls[1].cancel()
    first, second, third = await asyncio.gather(*calls, return_exceptions=True)
    cancelled = isinstance(second, asyncio.CancelledError)
    holds(cancelled, f"the cancelled call: expected CancelledError, got {second!r:.200}", "workers do not stop")
    for other in (first, third):
        holds(not isinstance(other, BaseException), f"another call ended with {other!r:.200}", "its document is lost")


async def the_model_has_a_fingerprint_and_says_that_it_works(embedder: Embedder) -> None:
    """The fingerprint is known, and the one line about the service names it."""
    holds(embedder.model, "the fingerprint is empty", "vectors of different models would mix unnoticed")
    said = await embedder.check()
    missing = f"the line about the service: expected {embedder.model!r} in it, got {said!r}"
    holds(embedder.model in said, missing, "`headwater doctor` cannot tell which model serves")


CHECKS: tuple[Check[Embedder], ...] = (
    the_model_has_a_fingerprint_and_says_that_it_works,
    rows_are_finite_and_of_unit_length,
    rows_come_in_the_order_of_the_texts,
    a_question_is_nearer_to_its_answer_than_to_another_text,
    no_texts_give_no_rows,
    blank_text_is_poison_that_says_which,
    text_without_a_utf8_form_is_poison,
    a_long_list_is_embedded_whole_and_in_order,
    many_calls_at_once_get_each_their_own_rows,
    a_cancelled_call_leaves_the_others_alone,
)
