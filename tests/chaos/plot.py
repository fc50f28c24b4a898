"""The plot of the report: a dot per run, so that one slow recovery is seen among fifty quick ones."""

from collections.abc import Iterator, Mapping, Sequence
from html import escape

WIDTH, LEFT, RIGHT, ROW, TOP, FOOT = 860, 250, 24, 30, 58, 40
"""Pixels: the drawing, what the names and the right edge take, a row, what stands above and below them."""
TITLE = "Seconds from the last event and fault until all was at rest: a dot per run, and the median"
STYLE = """
svg { --paper:#ffffff; --ink:#1f2733; --soft:#5d6a7a; --edge:#d9dfe7; --dot:#12536b; --middle:#d3704a }
@media (prefers-color-scheme: dark) { svg { --paper:#10151c; --ink:#e6ebf2; --soft:#9aa7b8; --edge:#2a3442;
  --dot:#5bb4cf; --middle:#f0966f } }
text { font: 12px system-ui, -apple-system, "Segoe UI", "Noto Sans", sans-serif; fill: var(--ink) }
.paper { fill: var(--paper); stroke: var(--edge) }
.title { font-size: 14px; font-weight: 650 }
.scale { fill: var(--soft); text-anchor: middle }
.name { text-anchor: end }
.grid { stroke: var(--edge) }
.run { fill: var(--dot); fill-opacity: .55 }
.median { stroke: var(--middle); stroke-width: 2.5 }
"""


def draw(times: Mapping[str, Sequence[float]]) -> str:
    """Seconds per run, by what was run, as an SVG that follows the reader's light or dark theme."""
    height = TOP + ROW * len(times) + FOOT
    longest = max((value for values in times.values() for value in values), default=1.0)
    step = next(each for each in (1, 2, 5, 10, 20, 50, 100, 1000) if longest / each <= 8 or each == 1000)
    end = step * (int(longest / step) + 1)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img">',
        f"<title>{TITLE}</title>",
        f"<style>{STYLE}</style>",
        f'<rect class="paper" x="0.5" y="0.5" width="{WIDTH - 1}" height="{height - 1}" rx="14"/>',
        f'<text class="title" x="24" y="30">{TITLE}</text>',
        *_grid(range(0, end + 1, step), end, height),
    ]
    for number, (name, values) in enumerate(times.items()):
        parts += _row(name, sorted(values), TOP + ROW * number + ROW / 2, end)
    return "\n".join([*parts, "</svg>", ""])


def _grid(marks: Sequence[int], end: float, height: int) -> Iterator[str]:
    for mark in marks:
        x = _x(mark, end)
        yield f'<line class="grid" x1="{x:.1f}" y1="{TOP - 8}" x2="{x:.1f}" y2="{height - FOOT + 4}"/>'
        yield f'<text class="scale" x="{x:.1f}" y="{height - FOOT + 22}">{mark}</text>'


def _row(name: str, values: Sequence[float], y: float, end: float) -> Iterator[str]:
    yield f'<text class="name" x="{LEFT - 14}" y="{y + 4:.1f}">{escape(name)}</text>'
    for place, value in enumerate(values):
        # Neighbours are shifted so that equal values stay visible.
        yield f'<circle class="run" cx="{_x(value, end):.1f}" cy="{y + 3 * (place % 3 - 1):.1f}" r="3.5"/>'
    middle = _x(values[len(values) // 2], end)
    yield f'<line class="median" x1="{middle:.1f}" y1="{y - 10:.1f}" x2="{middle:.1f}" y2="{y + 10:.1f}"/>'


def _x(value: float, end: float) -> float:
    return LEFT + value / end * (WIDTH - LEFT - RIGHT)
