"""One trace as a picture for the terminal: what worked when, and what waited in the broker."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from streams.runtime.traces import BROKER_WAIT_MS
from streams.spans import StoredSpan

NAME, FIGURE = 30, 8
"""Columns for names and for figures; the bars get the rest."""


@dataclass(frozen=True, slots=True)
class Pen:
    """What bars are drawn with."""

    work: str = "█"
    wait: str = "░"
    tick: str = "▏"
    """Work too short for a column."""


ASCII = Pen(work="#", wait=".", tick="|")


def waterfall(spans: Sequence[StoredSpan], *, width: int = 80, pen: Pen | None = None) -> list[str]:
    """Lines of at most `width` columns: one per span below its parent, waits before the work that they delayed."""
    pen = pen or Pen()
    rows = list(_rows(spans))
    start = min(_begin(span) for span in spans)
    total = max(1, max(span.end_ns for span in spans) - start)
    axis = width - NAME - 2 * FIGURE - 3
    waited = sum(_wait_ns(span) for span in spans)
    lines = [
        f"trace {spans[0].trace_id}",
        f"{_ms(total)} in all, of which records waited {_ms(waited)} in the broker",
        "",
        f"{'span':<{NAME}} {'':<{axis}} {'wait':>{FIGURE}} {'work':>{FIGURE}}",
    ]
    for depth, span in rows:
        name = ("  " * min(depth, 8) + span.name)[:NAME]
        bar = _bar(span, start, total, axis, pen)
        wait = _ms(_wait_ns(span)) if _wait_ns(span) else ""
        line = f"{name:<{NAME}} {bar:<{axis}} {wait:>{FIGURE}} {_ms(span.end_ns - span.start_ns):>{FIGURE}}"
        lines.append(line.rstrip())
        if span.error is not None:
            lines.append(f"{'':<{NAME}} ! {span.error}"[:width])
    lines += ["", f"{pen.work} work   {pen.wait} waiting in the broker   ! error"]
    return lines


def _rows(spans: Sequence[StoredSpan]) -> Iterator[tuple[int, StoredSpan]]:
    """Depth first, siblings by their start; a span whose parent is not here stands at the root."""
    known = {span.span_id for span in spans}
    children: dict[str | None, list[StoredSpan]] = {}
    for span in sorted(spans, key=_begin):
        children.setdefault(span.parent_id if span.parent_id in known else None, []).append(span)
    pending = [(0, span) for span in reversed(children.get(None, []))]
    while pending:
        depth, span = pending.pop()
        yield depth, span
        pending += [(depth + 1, child) for child in reversed(children.get(span.span_id, []))]


def _bar(span: StoredSpan, start: int, total: int, axis: int, pen: Pen) -> str:
    def column(at_ns: int) -> int:
        return min(axis - 1, (at_ns - start) * axis // total)

    begin, work = column(_begin(span)), column(span.start_ns)
    end = min(axis, -(-(span.end_ns - start) * axis // total))
    drawn = pen.work * (end - work) if end - work > 1 or span.end_ns - span.start_ns >= total // axis else pen.tick
    return " " * begin + pen.wait * (work - begin) + drawn


def _begin(span: StoredSpan) -> int:
    return span.start_ns - _wait_ns(span)


def _wait_ns(span: StoredSpan) -> int:
    waited = span.attributes.get(BROKER_WAIT_MS)
    return max(0, round(waited * 1e6)) if isinstance(waited, int | float) else 0


def _ms(duration_ns: int) -> str:
    if duration_ns < 999_950_000:
        return f"{duration_ns / 1e6:.1f} ms"
    return f"{duration_ns / 1e9:.2f} s" if duration_ns < 999_950_000_000 else f"{duration_ns / 1e9:.0f} s"
