"""What every Generator must do, whatever its model."""

import asyncio
from collections.abc import Sequence

from processors.conformance import Check, equal, holds
from processors.conformance.evidence import evidence
from processors.ports import Fragment, Generator

ASKED = "When was the tower built?"


async def an_answer_comes_in_pieces_and_its_usage_last(generator: Generator) -> None:
    """The pieces make a text, and the last piece, and no other, tells the tokens that it cost."""
    fragments = await _answer(generator)
    holds(_text(fragments).strip(), f"{len(fragments)} pieces without a text", "the asker gets an empty answer")
    told = [place for place, fragment in enumerate(fragments) if fragment.usage is not None]
    equal(told, [len(fragments) - 1], "the places of pieces with usage", "the cost of answers is unknown or doubled")


async def a_piece_that_names_a_passage_is_quoted_from_it(generator: Generator) -> None:
    """Where a generator quotes, the quotation stands word for word in the passage."""
    passages = evidence()
    for fragment in await _answer(generator):
        if fragment.passage is not None:
            there = fragment.text.strip() in passages[fragment.passage].text
            said = f"{fragment.text!r} is said to be quoted from passage {fragment.passage}, which lacks it"
            holds(there, said, "citations lead to passages that do not support them")


async def the_same_question_gets_the_same_answer(generator: Generator) -> None:
    """Sampling is off: a question that is delivered twice is answered twice alike."""
    first, second = _text(await _answer(generator)), _text(await _answer(generator))
    equal(second, first, "the second answer", "a redelivered question gets another answer")


async def two_questions_at_once_get_each_an_answer(generator: Generator) -> None:
    """Simultaneous questions wait for each other or not, but none fails and none gets another's usage."""
    answers = await asyncio.gather(_answer(generator), _answer(generator, "How soon are refunds paid?"))
    for fragments in answers:
        usages = sum(fragment.usage is not None for fragment in fragments)
        holds(_text(fragments).strip(), "one of two simultaneous answers is empty", "a busy server loses answers")
        equal(usages, 1, "pieces with usage in one of two simultaneous answers", "the cost of answers is wrong")


async def closing_early_leaves_the_generator_usable(generator: Generator) -> None:
    """Whoever stops listening after the first piece spoils nothing for the next question."""
    fragments = generator.generate(ASKED, evidence())
    await anext(fragments)
    await fragments.aclose()
    holds(await _answer(generator), "no answer after a closed one", "one cancelled question stops all others")


async def it_names_its_model_and_mode_and_says_that_it_works(generator: Generator) -> None:
    """The answer's record can name a model and a mode, and there is one line about the service."""
    holds(generator.model, "the model has no name", "nobody can tell which model wrote an answer")
    known = generator.mode in ("extractive", "generative")
    holds(known, f"mode {generator.mode!r} is neither extractive nor generative", "answers cannot be encoded")
    holds(await generator.check(), "the line about the service is empty", "`headwater doctor` has nothing to say")


async def _answer(generator: Generator, question: str = ASKED) -> list[Fragment]:
    return [fragment async for fragment in generator.generate(question, evidence())]


def _text(fragments: Sequence[Fragment]) -> str:
    return "".join(fragment.text for fragment in fragments)


CHECKS: tuple[Check[Generator], ...] = (
    it_names_its_model_and_mode_and_says_that_it_works,
    an_answer_comes_in_pieces_and_its_usage_last,
    a_piece_that_names_a_passage_is_quoted_from_it,
    the_same_question_gets_the_same_answer,
    two_questions_at_once_get_each_an_answer,
    closing_early_leaves_the_generator_usable,
)
