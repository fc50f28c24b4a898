"""Time inside the ports is counted once, and only within the question."""

from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from benchmarks.timed import Log, TimedGenerator, busy_ns, spans
from processors.ports import Fragment
from schemas import Passage


def test_overlapping_work_counts_once() -> None:
    assert busy_ns([(10, 30), (20, 40)], 0, 100) == 30


def test_work_inside_other_work_counts_once() -> None:
    assert busy_ns([(10, 90), (20, 30), (40, 50)], 0, 100) == 80


def test_work_outside_the_question_does_not_count() -> None:
    assert busy_ns([(0, 15), (18, 25), (90, 200)], 10, 20) == 5 + 2


class _Generator:
    async def generate(self, question: str, passages: Sequence[Passage]) -> AsyncIterator[Fragment]:
        yield Fragment(text="one")
        yield Fragment(text="two")


async def test_generator_is_timed_fragment_by_fragment(tmp_path: Path) -> None:
    log = Log(tmp_path / "spans")
    fragments = [fragment.text async for fragment in TimedGenerator(_Generator(), log).generate("?", [])]
    assert fragments == ["one", "two"]
    assert len(spans(tmp_path / "spans")) == 3  # the third wait ends the iteration
