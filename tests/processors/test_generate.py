from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace
from typing import Any

import pytest

from processors.errors import Poison, Transient
from processors.generate import Generate
from processors.ports import Fragment
from schemas import (
    AnswerCompleted,
    AnswerDelta,
    AnswerMode,
    AnswerRefused,
    Passage,
    PassagesRanked,
    QueryFailed,
    Usage,
)
from tests.processors.happenings import asked
from tests.processors.models import TOWER, evidence

Reply = AnswerDelta | AnswerCompleted | AnswerRefused | QueryFailed


class Scripted:
    """Says what it was told to, and notes whether it was asked and closed."""

    def __init__(self, *fragments: Fragment | Exception, mode: AnswerMode = "generative") -> None:
        self.fragments = fragments
        self.mode: AnswerMode = mode
        self.model = "scripted"
        self.asked = 0
        self.closed = 0

    async def open(self) -> None: ...
    async def close(self) -> None: ...
    async def check(self) -> str:
        return self.model

    async def generate(self, question: str, passages: Sequence[Passage]) -> AsyncGenerator[Fragment, None]:
        self.asked += 1
        try:
            for fragment in self.fragments:
                if isinstance(fragment, Exception):
                    raise fragment
                yield fragment
        finally:
            self.closed += 1


def ranked(score: float = 0.9, **query: Any) -> PassagesRanked:
    return PassagesRanked(query=asked("When was it built?", **query), passages=tuple(evidence({"rerank": score})))


async def replies(generator: Scripted, event: PassagesRanked, **policy: Any) -> list[Reply]:
    generate = Generate({generator.mode: generator}, generator.mode, attempt=lambda: "a-1", **policy)
    return [reply async for reply in generate(event)]


WRITTEN = (
    Fragment(text="It was built "),
    Fragment(text="by Gustave Eiffel in 1890."),
    Fragment(text="", usage=Usage(prompt_tokens=9, completion_tokens=4)),
)


async def test_deltas_add_up_to_the_answer_and_one_final_event_comes_last() -> None:
    *deltas, final = await replies(Scripted(*WRITTEN), ranked())
    assert isinstance(final, AnswerCompleted)
    assert [(delta.index, delta.attempt) for delta in deltas if isinstance(delta, AnswerDelta)] == [
        (0, "a-1"),
        (1, "a-1"),
    ]
    assert "".join(delta.text for delta in deltas if isinstance(delta, AnswerDelta)) == final.text
    assert (final.attempt, final.mode, final.model) == ("a-1", "generative", "scripted")
    assert final.usage == Usage(prompt_tokens=9, completion_tokens=4)


async def test_a_written_answer_is_cited_and_its_inventions_are_told() -> None:
    [*_, final] = await replies(Scripted(*WRITTEN), ranked())
    assert isinstance(final, AnswerCompleted)
    assert [citation.document_id for citation in final.citations] == ["doc-0"]
    assert final.unsupported == ("1890",)
    assert 0 < final.confidence <= 0.45


async def test_a_quoted_answer_is_cited_to_the_character() -> None:
    quotes = ("The tower stands in Paris.", "About 7 million people climb it every year.")
    generator = Scripted(
        Fragment(text=quotes[0], passage=0), Fragment(text="\n\n" + quotes[1], passage=0), mode="extractive"
    )
    [*_, final] = await replies(generator, ranked(0.7))
    assert isinstance(final, AnswerCompleted)
    assert [citation.quote for citation in final.citations] == list(quotes)
    for citation in final.citations:
        assert TOWER[citation.start - 1000 : citation.end - 1000] == citation.quote
        assert final.text[citation.answer_start : citation.answer_end] == citation.quote
    assert final.confidence == pytest.approx(0.7)
    assert final.unsupported == ()


async def test_a_question_that_does_not_stream_gets_the_final_event_only() -> None:
    [final] = await replies(Scripted(*WRITTEN), ranked(stream=False))
    assert isinstance(final, AnswerCompleted)


async def test_weak_evidence_is_refused_before_the_model_is_asked() -> None:
    generator = Scripted(*WRITTEN)
    [refused] = await replies(generator, ranked(0.19), min_evidence=0.2)
    assert isinstance(refused, AnswerRefused)
    assert refused.code == "weak-evidence"
    assert [passage.scores["rerank"] for passage in refused.considered] == [0.19] * 3
    assert generator.asked == 0


async def test_no_evidence_is_refused() -> None:
    [refused] = await replies(Scripted(*WRITTEN), replace(ranked(), passages=()))
    assert isinstance(refused, AnswerRefused)
    assert refused.code == "no-evidence"


async def test_evidence_that_nobody_judged_is_not_trusted() -> None:
    event = replace(ranked(), passages=tuple(evidence({"fused": 3.0})))
    [refused] = await replies(Scripted(*WRITTEN), event)
    assert isinstance(refused, AnswerRefused)


async def test_the_question_s_mode_goes_before_the_deployment_s() -> None:
    written, quoting = Scripted(*WRITTEN), Scripted(*WRITTEN, mode="extractive")
    generate = Generate({"generative": written, "extractive": quoting}, "extractive")
    assert [reply async for reply in generate(ranked())]
    assert [reply async for reply in generate(ranked(mode="generative"))]
    assert (quoting.asked, written.asked) == (1, 1)


async def test_a_mode_that_is_not_there_is_poison_that_names_the_others() -> None:
    with pytest.raises(Poison, match="extractive"):
        await replies(Scripted(*WRITTEN, mode="extractive"), ranked(mode="generative"))


async def test_a_model_that_says_nothing_is_poison() -> None:
    with pytest.raises(Poison, match="no-answer"):
        await replies(Scripted(Fragment(text=" ", usage=Usage())), ranked())


async def test_each_run_is_an_attempt_of_its_own() -> None:
    generate = Generate({"generative": Scripted(*WRITTEN)}, "generative")
    attempts = {reply.attempt for _ in range(2) async for reply in generate(ranked())}
    assert len(attempts) == 2


async def test_a_failure_in_the_middle_passes_through_and_closes_the_generation() -> None:
    generator = Scripted(WRITTEN[0], Transient("gone"))
    with pytest.raises(Transient):
        await replies(generator, ranked())
    assert generator.closed == 1


async def test_closing_the_answer_closes_the_generation() -> None:
    generator = Scripted(*WRITTEN)
    answer = Generate({"generative": generator}, "generative")(ranked())
    await anext(answer)
    await answer.aclose()
    assert generator.closed == 1
