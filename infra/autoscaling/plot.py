"""The plot of docs/autoscaling.md: replicas over time, those that were asked for behind those that served."""

from collections.abc import Iterator, Sequence
from html import escape

from infra.autoscaling.scaled import ScaledObject
from infra.autoscaling.scenarios import HOUR_S, MINUTE_S, Run

WIDTH, LEFT, GAP, RIGHT, TOP, ROW, BAR, FOOT = 1_000, 150, 52, 24, 86, 46, 32, 44
"""Pixels: the drawing, what the names take, what is between two runs, right of them and above; a row and its panel."""
TITLE = "Replicas over time: asked for (pale) and serving (dark)"
STYLE = """
svg { --paper:#ffffff; --ink:#1f2733; --soft:#5d6a7a; --edge:#d9dfe7; --told:#b9dbe6; --serving:#12536b }
@media (prefers-color-scheme: dark) { svg { --paper:#10151c; --ink:#e6ebf2; --soft:#9aa7b8; --edge:#2a3442;
  --told:#24556a; --serving:#5bb4cf } }
text { font: 12px system-ui, -apple-system, "Segoe UI", "Noto Sans", sans-serif; fill: var(--ink) }
.paper { fill: var(--paper); stroke: var(--edge) }
.title { font-size: 14px; font-weight: 650 }
.run { font-weight: 600 }
.scale { fill: var(--soft); text-anchor: middle }
.name { text-anchor: end }
.most { fill: var(--soft); font-size: 10px; text-anchor: end }
.grid { stroke: var(--edge) }
.told { fill: var(--told) }
.serving { fill: var(--serving) }
"""


def draw(runs: Sequence[Run], objects: Sequence[ScaledObject]) -> str:
    """A column per run and a row per ScaledObject, as an SVG that follows the reader's light or dark theme."""
    height = TOP + ROW * len(objects) + FOOT
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img">',
        f"<title>{TITLE}</title>",
        f"<style>{STYLE}</style>",
        f'<rect class="paper" x="0.5" y="0.5" width="{WIDTH - 1}" height="{height - 1}" rx="14"/>',
        f'<text class="title" x="24" y="30">{TITLE}</text>',
    ]
    for row, scaled in enumerate(objects):
        bottom = TOP + ROW * row + BAR
        parts.append(f'<text class="name" x="{LEFT - 34}" y="{bottom - 10}">{escape(scaled.name)}</text>')
        parts.append(f'<text class="most" x="{LEFT - 6}" y="{bottom - BAR + 9}">{scaled.most}</text>')
        parts.append(f'<text class="most" x="{LEFT - 6}" y="{bottom}">0</text>')
    width = (WIDTH - LEFT - RIGHT - GAP * (len(runs) - 1)) / len(runs)
    for column, run in enumerate(runs):
        parts += _column(run, objects, LEFT + column * (width + GAP), width, height)
    return "\n".join([*parts, "</svg>", ""])


def _column(run: Run, objects: Sequence[ScaledObject], left: float, width: float, height: int) -> Iterator[str]:
    hours = run.scenario.hours
    yield f'<text class="run" x="{left:.1f}" y="{TOP - 22}">{escape(run.scenario.name)}</text>'
    step_s = HOUR_S if hours > 4 else 15 * MINUTE_S
    for mark_s in range(0, int(hours * HOUR_S) + 1, step_s):
        x = left + mark_s / (hours * HOUR_S) * width
        words = (
            f"{mark_s // HOUR_S} h" if step_s == HOUR_S else f"{mark_s // MINUTE_S} min" if mark_s % 1_800 == 0 else ""
        )
        yield f'<line class="grid" x1="{x:.1f}" y1="{TOP - 8}" x2="{x:.1f}" y2="{height - FOOT + 2}"/>'
        yield f'<text class="scale" x="{x:.1f}" y="{height - FOOT + 20}">{words}</text>'
    for row, scaled in enumerate(objects):
        bottom = TOP + ROW * row + BAR
        for kind, seen in (("told", run.replicas[scaled.name]), ("serving", run.serving[scaled.name])):
            yield f'<path class="{kind}" d="{_area(seen, left, width, bottom, scaled.most)}"/>'


def _area(seen: Sequence[int], left: float, width: float, bottom: int, most: int) -> str:
    """Steps from the first second to the last, closed at the bottom."""
    path, before = [f"M{left:.1f},{bottom}"], 0
    for at_s, count in enumerate(seen):
        if count != before:
            x = left + at_s / len(seen) * width
            path.append(f"L{x:.1f},{_y(before, bottom, most)} L{x:.1f},{_y(count, bottom, most)}")
            before = count
    right = left + width
    return " ".join([*path, f"L{right:.1f},{_y(before, bottom, most)} L{right:.1f},{bottom} Z"])


def _y(count: int, bottom: int, most: int) -> str:
    return f"{bottom - count / most * BAR:.1f}"
