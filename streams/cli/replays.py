"""A replay, while it runs and at its end."""

import sys
from collections.abc import Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import TYPE_CHECKING, Literal, Self

from streams.cli.letters import already, already_as_data, by_code
from streams.cli.reporting import counted, one_line
from streams.letters.box import Box
from streams.letters.letter import DeadLetter
from streams.letters.planning import Plan, Refusal, Step, counts
from streams.letters.settled import Mark

if TYPE_CHECKING:
    from rich.progress import Progress

    from streams.cli.activity import Activity

Ended = Literal["interrupted", "broken off"]


class Replay:
    """What becomes of every letter; a progress bar where a person watches, a line now and then where none does."""

    def __init__(self, *, named: bool, quiet: bool) -> None:
        self._named = named
        """By their ids: what was settled before is then worth a line."""
        self._quiet = quiet
        self._shown = ExitStack()
        self._bar: Progress | None = None
        self._activity: Activity | None = None
        self._done: list[Step] = []
        self._plan = Plan()
        self.box = Box((), ())
        self.refused: list[Refusal] = []
        self.ended: Ended | None = None
        """Why it ended before everything was done."""

    def __enter__(self) -> Self:
        if not self._quiet and sys.stdout.isatty():
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

            columns = (TextColumn("replaying"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
            self._bar = self._shown.enter_context(Progress(*columns, transient=True))
            self._bar.add_task("", total=None)
        elif not self._quiet:
            from streams.cli.activity import Activity

            self._activity = self._shown.enter_context(Activity())
            self._activity.now("replaying: reading the letters")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._shown.close()

    def planned(self, box: Box, plan: Plan) -> None:
        """What is going to happen."""
        self.box, self._plan = box, plan
        self.refused += plan.refusals
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], total=len(plan.steps))

    def done(self, step: Step) -> None:
        """One record is written, and its letters are settled."""
        self._done.append(step)
        if self._bar is not None:
            self._bar.advance(self._bar.task_ids[0])
        elif self._activity is not None:
            self._activity.now(f"replaying: {len(self._done)} of {len(self._plan.steps)} done")

    @property
    def begun(self) -> bool:
        """Whether anything is written, so that there is something to tell."""
        return bool(self._done)

    @property
    def _left(self) -> int:
        return sum(len(step.letters) for step in self._plan.steps) - sum(len(step.letters) for step in self._done)

    def as_text(self, *, dry: bool) -> str:
        """The end of it; a `dry` run lists what would be written, record by record."""
        steps = self._plan.steps if dry else self._done
        lines = [_line(step) for step in steps] if dry else []
        lines += [f"refused   {each.letter.id}: {each.reason}" for each in self.refused]
        if late := self._plan.late:
            lines.append(
                f"left out  {counted(len(late), 'letter')} of questions past their deadline{by_code(late)}: nobody "
                "waits for the answers; name them by id to replay them all the same"
            )
        lines += already(self._before)
        lines.append(_sum(steps, "would be replayed" if dry else "replayed"))
        if self.ended:
            lines.append(f"{self.ended} with {counted(self._left, 'letter')} to go; the same command goes on with them")
        return "\n".join(map(one_line, lines))

    def as_data(self, *, dry: bool) -> dict[str, object]:
        steps = self._plan.steps if dry else self._done
        return {
            "dry_run": dry,
            "replayed": [
                {
                    "letters": [str(letter.id) for letter in step.letters],
                    "topic": step.topic,
                    "source": str(step.source) if step.source else None,
                }
                for step in steps
            ],
            "topics": counts(steps),
            "refused": [{"id": str(each.letter.id), "reason": each.reason} for each in self.refused],
            "late": [str(letter.id) for letter in self._plan.late],
            "already": already_as_data(self._before),
            "ended": self.ended,
            "left": self._left if self.ended else 0,
        }

    @property
    def _before(self) -> Sequence[tuple[DeadLetter, Mark]]:
        return self.box.settled if self._named else ()


def _line(step: Step) -> str:
    ids = ", ".join(str(letter.id) for letter in step.letters)
    again = f", as record {step.source} once more" if step.source else ""
    letter = step.letters[0]
    return f"replay    {ids} to {step.topic}{again}: {letter.key} ({letter.code})"


def _sum(steps: Sequence[Step], what: str) -> str:
    letters = [letter for step in steps for letter in step.letters]
    topics = ", ".join(f"{counted(count, 'record')} to {topic}" for topic, count in counts(steps).items())
    return f"{counted(len(letters), 'letter')} {what}{f': {topics}' if topics else ''}"
