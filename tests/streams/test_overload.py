"""Too many generations at once: the caller is told at once, and when to ask again; nothing becomes a dead letter."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from datetime import timedelta
from typing import Any

import pytest

from processors.errors import Transient
from processors.generate import Generate
from processors.ports import Fragment
from schemas import (
    AnswerCompleted,
    AnswerMode,
    DocumentId,
    Passage,
    PassagesRanked,
    PassagesRetrieved,
    QueryAsked,
    QueryFailed,
)
from streams.overload import LimitedGenerator, limited
from streams.runtime.interrupts import Interrupted
from tests.streams.runtime import wiring
from tests.streams.runtime.wiring import NOW, Bench, ManualClock, query, question


class Patient:
    """A generator that writes one word and waits for its release before the second."""

    mode: AnswerMode = "generative"
    model = "patient"

    def __init__(self) -> None:
        self.release = asyncio.Event()
        self.running = 0

    async def open(self) -> None: ...

    async def close(self) -> None: ...

    async def check(self) -> str:
        return ""

    async def generate(self, question: str, passages: Sequence[Passage]) -> AsyncGenerator[Fragment, None]:
        self.running += 1
        yield Fragment(text="so ")
        await self.release.wait()
        yield Fragment(text="it is")


async def rerank(event: PassagesRetrieved) -> Sequence[PassagesRanked]:
    text = "So it is."
    evidence = Passage(
        document_id=DocumentId("d"),
        version=1,
        ordinal=0,
        title="",
        text=text,
        page=None,
        section=(),
        start=0,
        end=len(text),
        metadata={},
        scores={"rerank": 1.0},
    )
    return [PassagesRanked(query=event.query, passages=(evidence,))]


async def test_a_question_beyond_the_limit_fails_at_once_and_one_after_it_succeeds() -> None:
    patient = Patient()
    generators = limited({"generative": patient}, 2)
    bench = Bench(query(rerank=rerank, generate=Generate(generators, "generative")), "retrieve|rerank|generate")
    await bench.publish(*(question(f"q{number}") for number in range(4)))
    running = asyncio.create_task(bench.engine.run())
    while sum(isinstance(said.event, QueryFailed) for said in bench.replies()) < 2:  # noqa: ASYNC110 - the bench tells nobody
        await asyncio.sleep(0)
    assert patient.running == 2
    patient.release.set()
    await running
    failed = [said.event for said in bench.replies() if isinstance(said.event, QueryFailed)]
    assert [(event.code, event.stage, event.retry_after_s) for event in failed] == [("overloaded", "generate", 5.0)] * 2
    assert len([said for said in bench.replies() if isinstance(said.event, AnswerCompleted)]) == 2
    assert not bench.letters("evidence")
    assert len({said.event.key for said in bench.replies()}) == 4


async def test_a_place_is_free_again_when_its_caller_leaves() -> None:
    generator = LimitedGenerator(Patient(), 1)
    async with aclosing(generator.generate("?", ())) as fragments:
        await anext(fragments)
        with pytest.raises(Interrupted) as refused:
            await anext(generator.generate("?", ()))
        assert refused.value.retry_after_s == 5.0
    assert generator.under_way == 0
    async with aclosing(generator.generate("?", ())) as fragments:
        assert (await anext(fragments)).text == "so "


async def test_the_time_to_ask_again_follows_what_generations_take() -> None:
    clock, patient = ManualClock(), Patient()
    patient.release.set()
    generator = LimitedGenerator(patient, 1, clock=clock)
    for _ in range(30):
        async for fragment in generator.generate("?", ()):
            await clock.sleep(10.0 if fragment.text == "so " else 0.0)
    async with aclosing(generator.generate("?", ())) as fragments:
        await anext(fragments)
        with pytest.raises(Interrupted) as refused:
            await anext(generator.generate("?", ()))
    assert refused.value.retry_after_s == pytest.approx(10, abs=0.2)


def test_only_what_a_language_model_writes_is_limited() -> None:
    extractive, generative = Patient(), Patient()
    generators = limited({"extractive": extractive, "generative": generative}, 1)
    assert generators["extractive"] is extractive
    assert generators["generative"] is not generative


@pytest.mark.parametrize(
    ("retry_after_s", "deadline_s", "code"),
    [
        (60.0, 30, "overloaded"),  # it would be too late
        (60.0, None, "overloaded"),  # it would be within no deadline, but beyond any patience
        (2.0, 30, None),
        (2.0, 1, "overloaded"),
        (None, 1_000, None),  # away is not busy: it is waited for
    ],
)
async def test_a_busy_service_is_waited_for_only_while_that_can_help(
    retry_after_s: float | None, deadline_s: float | None, code: str | None
) -> None:
    busy = [Transient("busy", retry_after_s=retry_after_s)] * 3

    async def retrieve(event: QueryAsked) -> Any:
        if busy:
            raise busy.pop()
        return [PassagesRetrieved(query=event, passages=())]

    deadline = NOW + timedelta(seconds=deadline_s) if deadline_s else None
    bench = Bench(query(retrieve=retrieve), "retrieve|rerank|generate")
    await bench.publish(question(deadline=deadline))
    await bench.engine.run()
    failed = [said.event for said in bench.replies() if isinstance(said.event, QueryFailed)]
    assert [(event.code, event.retry_after_s) for event in failed] == ([(code, retry_after_s)] if code else [])
    assert any(isinstance(said.event, AnswerCompleted) for said in bench.replies()) is (code is None)
    assert not bench.letters("queries")


async def test_a_busy_service_fails_no_document() -> None:
    busy = [Transient("busy", retry_after_s=20.0)] * 2

    async def embed(event: Any) -> Any:
        if busy:
            raise busy.pop()
        return await wiring.embed(event)

    bench = Bench(wiring.ingest(embed=embed), "chunk|embed|upsert")
    await bench.publish(wiring.document())
    await bench.engine.run()
    assert len(bench.said("receipts")) == 2
    assert not bench.letters("chunks")
