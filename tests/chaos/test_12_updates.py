"""12. Documents are updated while questions hammer them: no answer is empty, a mixture, or older than a receipt."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from streams.runtime.records import Record
from streams.settings import Settings
from streams.tail import Tail
from streams.topics import ANSWERS, CANDIDATES
from tests.chaos.checker import Verdict
from tests.chaos.glimpses import Faults, Glimpse, Newest, Question, glimpse, judged, versions
from tests.chaos.ledger import Answered, Published
from tests.chaos.report import Report
from tests.chaos.scenario import Figure, Run, Scenario
from tests.chaos.workload import WORDS, Ask, Shape

QUICK_ENGINES = ("confluent",)
PACE_S = 0.03
MOST_OPEN = 16
"""Questions without a final event: more would only wait."""


class Updates(Scenario):
    """Every question is about a document that has a receipt; half of them name the version of that receipt."""

    number = 12
    name = "updates under questions"
    spares_workers = True

    def __init__(self, *, documents: int, updates: int, over_s: float) -> None:
        self.shape = Shape(
            documents=documents, events=documents + updates, questions=0, over_s=over_s, deleted=0.0, unchanged=0.0
        )
        self._questions: dict[str, Question] = {}
        self._glimpses: list[Glimpse] = []
        self._under_way = 0

    def adapt(self, settings: Settings, random: Random) -> Settings:
        """The passages that a search found must pass through a topic, to be seen here."""
        segments = random.choice(("retrieve|rerank|generate", "retrieve|rerank+generate"))
        return super().adapt(settings, random).model_copy(update={"query_segments": segments})

    async def strike(self, run: Run) -> None:
        newest = Newest(run.ledger)
        async with self._watching(run):
            while not run.driven.is_set() or newest.published != newest.received:
                await asyncio.sleep(PACE_S)
                newest.read()
                if newest.received and len(self._questions) - self._answered(run) < MOST_OPEN:
                    await self._ask(run, newest)
            await run.rest()
        evidence = f"{self._under_way} of {len(self._questions)} while another version of their document was under way"
        run.note("questions", "documents", struck=self._under_way > 0, evidence=evidence)

    async def _ask(self, run: Run, newest: Newest) -> None:
        document = tenant, name = run.random.choice(list(newest.received))
        floor, alone = newest.received[document], run.random.random() < 0.7
        query = f"{run.random.getrandbits(64):016x}"
        self._under_way += newest.published.get(document, 0) > floor
        self._questions[query] = Question(query=query, document=document, floor=floor, alone=alone)
        marks = next(
            entry.marks
            for entry in reversed(run.ledger.entries)
            if isinstance(entry, Published) and (entry.tenant, entry.document) == document
        )
        asked = Ask(
            tenant=tenant,
            query=query,
            text=f"Which {run.random.choice(WORDS)} stands at {run.random.choice(marks)}?",
            document=name if alone else "",
            min_versions={name: floor} if run.random.random() < 0.5 else {},
        )
        await run.driver.send(asked)

    @asynccontextmanager
    async def _watching(self, run: Run) -> AsyncIterator[None]:
        def hear(records: Sequence[Record]) -> None:
            seen = (glimpse(record, run.settings.topic_prefix) for record in records)
            self._glimpses += [each for each in seen if each is not None]

        async with AsyncExitStack() as tails:
            for topic in (CANDIDATES, ANSWERS):
                tail = Tail(run.settings.kafka_config, run.settings.topic_prefix + topic.name)
                tails.push_async_callback(tail.close)
                await tail.open()
                tail.follow(hear)
            yield

    def _answered(self, run: Run) -> int:
        return sum(isinstance(entry, Answered) for entry in run.ledger.entries)

    def judge(self, run: Run, verdict: Verdict) -> Verdict:
        entries = run.ledger.entries
        found = judged(self._questions, self._glimpses, versions(entries))
        failed = [
            f"query {each.query}: {each.code}"
            for each in entries
            if isinstance(each, Answered) and each.outcome == "failed"
        ]
        self._tell(run, found)
        return replace(
            verdict,
            lost=verdict.lost + found.empty,
            duplicated=verdict.duplicated + found.mixed,
            stale=verdict.stale + found.stale,
            unexpected=(*verdict.unexpected, *failed, *self._unseen()),
        )

    def _tell(self, run: Run, found: Faults) -> None:
        for name, broken in (("empty", found.empty), ("mixed", found.mixed), ("stale", found.stale)):
            run.figures[f"{name} answers"] = Figure(value=len(broken), unit="answers", at_most=0)
        asked = "questions asked while another version of their document was under way"
        run.figures[asked] = Figure(value=self._under_way, unit="questions")
        run.figures["answers and searches that were looked at"] = Figure(value=len(self._glimpses), unit="")

    def _unseen(self) -> Sequence[str]:
        """Questions of which no search was seen: then nothing was checked."""
        searched = {each.query for each in self._glimpses if each.whole}
        return [f"query {query}: no search was seen" for query in self._questions.keys() - searched]


@pytest.mark.stack
async def test_no_answer_is_empty_mixed_or_stale_while_documents_change(
    stack: Settings, seed: int, engine: str, tmp_path: Path, report: Report
) -> None:
    hammered = Updates(documents=6, updates=60, over_s=6.0)
    report.judge(await hammered.run(stack, seed=seed, engine=engine, folder=tmp_path))


@pytest.mark.stack
@pytest.mark.chaos
@pytest.mark.timeout(1800)
async def test_a_thousand_updates_show_no_answer_that_is_empty_mixed_or_stale(
    stack: Settings, engine: str, tmp_path: Path, report: Report, pytestconfig: pytest.Config
) -> None:
    hammered = Updates(documents=50, updates=1_000, over_s=90.0)
    seed: int = pytestconfig.getoption("first_seed")
    report.judge(await hammered.run(stack, seed=1000 + seed, engine=engine, folder=tmp_path))


PUBLISHED = {("acme", "doc"): {1: frozenset("ab"), 2: frozenset("bc"), 3: frozenset("d")}}
ASKED = Question(query="q", document=("acme", "doc"), floor=2, alone=True)


@pytest.mark.parametrize(
    ("shown", "wrong"),
    [
        ("bc", "whole"),
        ("d", "whole"),
        ("", "empty"),
        ("abc", "mixed"),
        ("bcd", "mixed"),
        ("b", "mixed"),
        ("bcc", "mixed"),
        ("ab", "stale"),
    ],
)
def test_a_glimpse_of_a_whole_document_is_of_one_version_with_a_receipt_or_newer(shown: str, wrong: str) -> None:
    seen = Glimpse(query="q", where="search", shown={"doc": shown} if shown else {}, whole=True)
    found = judged({"q": ASKED}, [seen], PUBLISHED)
    assert {name for name in ("empty", "mixed", "stale") if getattr(found, name)} == {wrong} - {"whole"}


@pytest.mark.parametrize(
    ("shown", "wrong"), [("b", "whole"), ("", "whole"), ("d", "whole"), ("ac", "mixed"), ("a", "stale")]
)
def test_a_glimpse_of_a_part_fits_into_one_version_with_a_receipt_or_newer(shown: str, wrong: str) -> None:
    seen = Glimpse(query="q", where="answer", shown={"doc": shown}, whole=False)
    found = judged({"q": ASKED}, [seen], PUBLISHED)
    assert {name for name in ("empty", "mixed", "stale") if getattr(found, name)} == {wrong} - {"whole"}
