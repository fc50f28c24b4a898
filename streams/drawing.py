"""The picture of the flow, drawn from the wiring table: `python -m streams.pages` puts it into docs/flow.svg."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from typing import get_args, get_type_hints

from processors.ports import Port
from schemas import Event
from streams.topics import CANCELLATIONS
from streams.wiring import DEAD_LETTER_SUFFIX, Pipeline, Stage, Topic

STEP, MARGIN = 137, 26
"""Distance between the centres of neighbours in a row, and the free space around everything."""
TOPIC, STAGE, LETTERS = (106, 40), (108, 66), (104, 24)
TOP, BAND, BOTTOM, FOOT = 142, 246, 350, 474
"""Heights of the ingest row, the index between the rows, the query row, and what stands beside the flow."""
WIDTH, HEIGHT = 2 * MARGIN + 6 * STEP + TOPIC[0], 512

STYLE = """
svg { --paper:#ffffff; --ink:#1f2733; --soft:#5d6a7a; --line:#8794a5; --edge:#d9dfe7;
  --topic:#eef3f9; --topic-edge:#7f9cbf; --stage:#12536b; --stage-ink:#ffffff; --stage-soft:#b9dbe6;
  --store:#f3eefb; --store-edge:#9a82c9; --letter:#fff6e6; --letter-edge:#d3a04a; --letter-ink:#8a5a06 }
@media (prefers-color-scheme: dark) { svg { --paper:#10151c; --ink:#e6ebf2; --soft:#9aa7b8; --line:#718096;
  --edge:#2a3442; --topic:#1a2433; --topic-edge:#56779f; --stage:#1d7391; --stage-ink:#ffffff; --stage-soft:#c7e6ef;
  --store:#241d35; --store-edge:#8a73bd; --letter:#2c2312; --letter-edge:#a97f37; --letter-ink:#e3b968 } }
text { font: 13px system-ui, -apple-system, "Segoe UI", "Noto Sans", sans-serif; fill: var(--ink);
  text-anchor: middle }
.paper { fill: var(--paper); stroke: var(--edge) }
.topic { fill: var(--topic); stroke: var(--topic-edge); stroke-width: 1.3 }
.stage { fill: var(--stage) }
.store { fill: var(--store); stroke: var(--store-edge); stroke-width: 1.3 }
.letters { fill: var(--letter); stroke: var(--letter-edge); stroke-dasharray: 4 3 }
.flow { stroke: var(--line); stroke-width: 1.6; fill: none; marker-end: url(#head) }
.use { stroke: var(--store-edge); stroke-width: 1.3; fill: none }
.poison { stroke: var(--letter-edge); stroke-width: 1.2; stroke-dasharray: 4 3; fill: none }
.heading { font-size: 12px; font-weight: 600; letter-spacing: .08em; fill: var(--soft); text-anchor: start }
.verb { font-weight: 650; font-size: 15px; fill: var(--stage-ink) }
.port { font-size: 11px; fill: var(--stage-soft) }
.small { font-size: 11px; fill: var(--soft) }
.start { text-anchor: start }
.letter { font-size: 11px; fill: var(--letter-ink) }
#head path { fill: var(--line) }
"""


@dataclass(frozen=True, slots=True)
class Row:
    """A pipeline from left to right at one height, its dead letters above or below."""

    pipeline: Pipeline
    y: int
    outward: int
    """-1: dead letters stand above, 1: below; the index is on the other side."""

    def topics(self) -> list[Topic[Event]]:
        stages = self.pipeline.stages
        return [*(stage.source for stage in stages), stages[-1].sink]


def draw(ingest: Pipeline, query: Pipeline) -> str:
    """The flow as an SVG that follows the reader's light or dark theme."""
    rows = (Row(ingest, TOP, -1), Row(query, BOTTOM, 1))
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">',
        "<title>The flow of documents and questions through Headwater</title>",
        f"<desc>{escape(_words(rows))}</desc>",
        f"<style>{STYLE}</style>",
        '<marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">',
        '<path d="M0,0.5 L8,4 L0,7.5 Z"/></marker>',
        f'<rect class="paper" x="0.5" y="0.5" width="{WIDTH - 1}" height="{HEIGHT - 1}" rx="14"/>',
    ]
    parts += _index(rows)
    for row in rows:
        parts += _row(row)
    parts += _foot()
    return "\n".join([*parts, "</svg>", ""])


def _row(row: Row) -> Iterator[str]:
    yield _text(MARGIN, row.y - (106 if row.outward < 0 else 44), row.pipeline.name.upper(), "heading")
    for place in range(6):
        yield _line("flow", _x(place) + _half(place), row.y, _x(place + 1) - _half(place + 1) - 2, row.y)
    for number, topic in enumerate(row.topics()):
        yield from _topic(topic, row, 2 * number)
    for number, stage in enumerate(row.pipeline.stages):
        yield from _stage(stage, row, 2 * number + 1)


def _topic(topic: Topic[Event], row: Row, place: int) -> Iterator[str]:
    x, y = _x(place), row.y
    if topic.dead_letters:
        far = y + row.outward * 62
        yield _line("poison", x, y + row.outward * TOPIC[1] // 2, x, far - row.outward * LETTERS[1] // 2)
        yield _box("letters", x, far, LETTERS, 12)
        yield _text(x, far, topic.name + DEAD_LETTER_SUFFIX, "letter")
    yield _box("topic", x, y, TOPIC, 20)
    yield _text(x, y, topic.name)
    if place == 6:
        words = ("to each caller's own", "topic and partition") if topic.replies else ("producers wait here",)
        for number, line in enumerate(words):
            yield _text(x, y + row.outward * (34 + 14 * number), line, "small")


def _stage(stage: Stage, row: Row, place: int) -> Iterator[str]:
    x, y = _x(place), row.y
    others = [name for name in ports(stage) if name != "index"]
    yield _box("stage", x, y, STAGE, 10)
    yield _text(x, y - 8 * len(others), stage.name, "verb")
    for number, name in enumerate(others):
        yield _text(x, y + 14 * number + (10 if len(others) == 1 else 5), name, "port")


def _index(rows: Sequence[Row]) -> Iterator[str]:
    """The store that both pipelines meet at, with a line to each stage that uses it."""
    users = [
        (_x(2 * number + 1), row)
        for row in rows
        for number, stage in enumerate(row.pipeline.stages)
        if "index" in ports(stage)
    ]
    for x, row in users:
        yield _line("use", x, row.y - row.outward * STAGE[1] // 2, x, BAND + row.outward * 25)
    left, right = _x(1) - STAGE[0] // 2, _x(5) + STAGE[0] // 2
    yield _box("store", (left + right) // 2, BAND, (right - left, 50), 12)
    yield _text((left + right) // 2, BAND - 9, "index")
    yield _text(
        (left + right) // 2, BAND + 10, "every chunk with its vector, and which version of a document is live", "small"
    )


def _foot() -> Iterator[str]:
    """The topic that no stage consumes but every query worker reads, and what the shapes mean."""
    yield _box("topic", _x(0), FOOT, TOPIC, 20)
    yield _text(_x(0), FOOT, CANCELLATIONS.name)
    yield _text(_x(0) + TOPIC[0] // 2 + 12, FOOT, "read by every query worker", "small start")
    meanings = (("topic", "topic"), ("stage", "stage, with its ports"), ("letters", "dead letters"), ("store", "store"))
    x = _x(3) - 12
    for kind, words in meanings:
        yield _box(kind, x, FOOT, (22, 14), 7 if kind in ("topic", "letters") else 4)
        yield _text(x + 18, FOOT, words, "small start")
        x += 60 + 6 * len(words)


def ports(stage: Stage) -> list[str]:
    """The ports that a stage's processor collaborates with, as words."""
    hints = get_type_hints(type(stage.processor))
    return [_spaced(port) for hint in hints.values() if (port := _port(hint)) is not None]


def _port(hint: object) -> type | None:
    if isinstance(hint, type) and Port in hint.__mro__:
        return hint
    return next((found for argument in get_args(hint) if (found := _port(argument)) is not None), None)


def _spaced(port: type) -> str:
    return "".join(f" {letter.lower()}" if letter.isupper() else letter for letter in port.__name__).strip()


def _words(rows: Sequence[Row]) -> str:
    """The picture for those who cannot see it."""
    lines = []
    for row in rows:
        steps = [f"{stage.name} reads {stage.source.name}" for stage in row.pipeline.stages]
        lines.append(f"{row.pipeline.name}: {', '.join(steps)}, and writes {row.topics()[-1].name}.")
    return " ".join(lines)


def _x(place: int) -> int:
    return MARGIN + TOPIC[0] // 2 + place * STEP


def _half(place: int) -> int:
    return (STAGE if place % 2 else TOPIC)[0] // 2


def _box(kind: str, x: int, y: int, size: tuple[int, int], radius: int) -> str:
    width, height = size
    return (
        f'<rect class="{kind}" x="{x - width // 2}" y="{y - height // 2}" '
        f'width="{width}" height="{height}" rx="{radius}"/>'
    )


def _text(x: int, y: int, words: str, kind: str = "") -> str:
    # Not `dominant-baseline`, which half of the viewers ignore: four units are half the height of a letter.
    return f'<text x="{x}" y="{y + 4}"{f" class={chr(34)}{kind}{chr(34)}" if kind else ""}>{escape(words)}</text>'


def _line(kind: str, x1: int, y1: int, x2: int, y2: int) -> str:
    return f'<path class="{kind}" d="M{x1},{y1} L{x2},{y2}"/>'
