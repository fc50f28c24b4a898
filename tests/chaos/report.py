"""The report: `python -m tests.chaos.report` writes docs/reliability.md from the results of `make chaos`."""

import statistics
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import orjson
from pydantic import TypeAdapter

from benchmarks.results import Circumstances, circumstances
from tests.chaos.plot import draw
from tests.chaos.scenario import CALM, Outcome

RESULTS = Path(".headwater/chaos/results.jsonl")
"""Not committed: one line per run; of equal scenario, seed and engine the last one counts."""
PAGE, PLOT = Path("docs/reliability.md"), Path("docs/reliability.svg")
METHOD = """\
Real broker, real vector store, real worker processes; the store compares every vector, so that what an approximate
index would not come across is not taken for lost. A checker compares what was published with the receipts, the
answers and what searches find at the end, by set algebra; each check is itself tested on pipelines with one guarantee
switched off. A run in which no fault struck work in hand does not count. *Again* are receipts and final events that
came a second time, as at-least-once delivery allows; *changed* are questions whose second final event says something
else, because documents had changed meanwhile: the first one counts. A backlog's time to clear has the ten seconds in it
for which a group waits for the member that was killed, faust's with all its members at rest: the shorter the
uninterrupted run, the more they weigh. Runs on a machine that does other work beside them differ by more than that.
"""
SCENARIOS = frozenset(range(1, 16))
COLUMNS = ("lost", "duplicated", "stale", "out_of_order", "unanswered", "answered_twice", "unexpected")


@dataclass(frozen=True, slots=True)
class Row:
    """A run, and where it was."""

    outcome: Outcome
    where: Circumstances


ADAPTER = TypeAdapter(Row)
Group = tuple[int, str, str]
"""Number and name of a scenario, and the engine."""


class Report:
    """Fails the test of a run that broke a promise or in which nothing struck, after the run has been noted."""

    def __init__(self, path: Path | None) -> None:
        """Without a path nothing is noted."""
        self._path = path
        self._where = circumstances() if path else None

    def judge(self, outcome: Outcome) -> None:
        if self._path and self._where:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("ab") as file:
                row = Row(outcome, self._where)
                file.write(orjson.dumps(asdict(row), option=orjson.OPT_APPEND_NEWLINE))
        assert outcome.verdict.clean, outcome.story
        assert outcome.faults, f"no fault struck, so this run did not count: {outcome.story}"
        missed = {name: each for name, each in outcome.figures.items() if not each.holds}
        assert not missed or self._path, f"{missed}: {outcome.story}"


def rows(path: Path = RESULTS) -> Sequence[Row]:
    """The last run of each scenario, seed and engine, in this order."""
    found = [ADAPTER.validate_json(line) for line in path.read_bytes().splitlines()]
    last = {
        (each.outcome.number, each.outcome.engine, each.outcome.scenario, each.outcome.seed): each for each in found
    }
    return [last[key] for key in sorted(last)]


def grouped(found: Sequence[Row]) -> Mapping[Group, Sequence[Row]]:
    groups: dict[Group, list[Row]] = defaultdict(list)
    for row in found:
        groups[row.outcome.number, row.outcome.scenario, row.outcome.engine].append(row)
    return groups


def page(found: Sequence[Row]) -> str:
    """The page as Markdown."""
    return "\n".join([*_head(found), *_verdicts(found), "", *_figures(found), *_broken(found), *_where(found), ""])


def _head(found: Sequence[Row]) -> Iterator[str]:
    runs, struck = len(found), sum(row.outcome.faults for row in found)
    events = sum(row.outcome.events + row.outcome.questions for row in found)
    yield "# Reliability\n"
    yield f"{runs} runs, {struck:,} faults that struck work in hand, {events:,} document events and questions."
    sums = {name: sum(row.outcome.verdict.counts[name] for row in found) for name in COLUMNS}
    yield f"{', '.join(f'{count:,} {_spaced(name)}' for name, count in sums.items())}.\n"
    yield "`make chaos SEEDS=50` makes this page; a run is repeated by its seed: `make chaos SEEDS=1 FIRST=7`.\n"
    if missing := sorted(SCENARIOS - {row.outcome.number for row in found}):
        yield f"Of the scenarios, {', '.join(map(str, missing))} did not run here: `tests/chaos/test_NUMBER_*.py`.\n"
    yield METHOD
    yield f"![Time to come to rest after the last fault, run by run]({PLOT.name})\n"


def _spaced(name: str) -> str:
    return name.replace("_", " ")


def _verdicts(found: Sequence[Row]) -> Iterator[str]:
    titles = [_spaced(name) for name in COLUMNS]
    yield f"| scenario | engine | seeds | faults | events | questions | {' | '.join(titles)} | again | changed |"
    yield "|---|---|" + "--:|" * (len(COLUMNS) + 6)
    for (number, name, engine), runs in grouped(found).items():
        counted = [row.outcome for row in runs if row.outcome.faults]
        broken = [sum(each.verdict.counts[column] for each in counted) for column in COLUMNS]
        sums = [sum(getattr(each, what) for each in counted) for what in ("faults", "events", "questions")]
        cells = [f"{number}. {name}", engine, len(counted), *sums, *broken]
        cells += [sum(each.repeats for each in counted), sum(each.changed for each in counted)]
        yield f"| {' | '.join(f'{cell:,}' if isinstance(cell, int) else cell for cell in cells)} |"


def _figures(found: Sequence[Row]) -> Iterator[str]:
    yield "| scenario | engine | figure | median | worst | at most | holds |"
    yield "|---|---|---|--:|--:|--:|---|"
    for (number, name, engine), runs in grouped(found).items():
        for figure in dict.fromkeys(each for row in runs for each in row.outcome.figures):
            measured = [row.outcome.figures[figure] for row in runs if figure in row.outcome.figures]
            values, bound = [each.value for each in measured], measured[-1].at_most
            holds = "" if bound is None else "yes" if all(each.holds for each in measured) else "**no**"
            unit = measured[-1].unit
            cells = [f"{number}. {name}", engine, figure, f"{statistics.median(values):.3g} {unit}"]
            cells += [f"{max(values):.3g} {unit}", "" if bound is None else f"{bound:g} {unit}", holds]
            yield f"| {' | '.join(cells)} |"
    yield ""


def _broken(found: Sequence[Row]) -> Iterator[str]:
    """What does not hold, in full."""
    failed = [row.outcome for row in found if not row.outcome.verdict.clean]
    for outcome in failed:
        yield f"**Broken** by {outcome.scenario}, seed {outcome.seed}, {outcome.engine}:\n"
        yield f"```\n{outcome.verdict}\n```\n"
    idle = [
        f"{row.outcome.scenario} {row.outcome.engine} {row.outcome.seed}" for row in found if not row.outcome.faults
    ]
    if idle:
        yield f"Nothing struck, and so not counted: {', '.join(idle)}.\n"


def _where(found: Sequence[Row]) -> Iterator[str]:
    for engine in sorted({row.outcome.engine for row in found}):
        seeds = {row.outcome.seed for row in found if row.outcome.engine == engine}
        yield f"Seeds with {engine}: {min(seeds)} to {max(seeds)}."
    for commit in dict.fromkeys(row.where.commit for row in found):
        there = [row.where for row in found if row.where.commit == commit]
        began, ended = min(each.started for each in there), max(each.started for each in there)
        yield f"Commit {commit}, {began} to {ended}, {there[-1].machine}, Python {there[-1].python}."


def main() -> None:
    found = rows()
    PAGE.write_text(page(found))
    times = {
        f"{number}. {name}, {engine}": [row.outcome.figures[CALM].value for row in runs if CALM in row.outcome.figures]
        for (number, name, engine), runs in grouped(found).items()
    }
    PLOT.write_text(draw({name: values for name, values in times.items() if values}))
    print(f"{PAGE} and {PLOT}: {len(found)} runs")


if __name__ == "__main__":
    main()
