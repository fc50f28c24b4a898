"""The picture of a trace, to the character."""

from streams.runtime.traces import BROKER_WAIT_MS
from streams.spans import StoredSpan
from streams.waterfall import ASCII, waterfall

MS = 1_000_000


def span(
    name: str, number: int, parent: int | None, start_ms: float, end_ms: float, *, wait_ms: float = 0, error: str = ""
) -> StoredSpan:
    return StoredSpan(
        trace_id="4bf92f3577b34da6a3ce929d0e0e4736",
        span_id=f"{number:016x}",
        parent_id=None if parent is None else f"{parent:016x}",
        name=name,
        service="headwater-test",
        kind="internal",
        start_ns=round(start_ms * MS),
        end_ns=round(end_ms * MS),
        error=error or None,
        attributes={BROKER_WAIT_MS: wait_ms} if wait_ms else {},
    )


QUESTION = [
    span("ask", 1, None, 0, 400),
    span("publish queries", 2, 1, 1, 4),
    span("retrieve process", 3, 2, 14, 110, wait_ms=10),
    span("embed query", 4, 3, 15, 25),
    span("search", 5, 3, 26, 108),
    span("rerank process", 6, 3, 210, 300, wait_ms=100),
    span("generate process", 7, 6, 305, 399, wait_ms=5, error="Transient: the model is away"),
]


def test_a_question_s_trace_reads_like_its_story() -> None:
    assert "\n".join(waterfall(QUESTION)) == (
        """\
trace 4bf92f3577b34da6a3ce929d0e0e4736
400.0 ms in all, of which records waited 115.0 ms in the broker

span                                                               wait     work
ask                            ███████████████████████████████          400.0 ms
  publish queries              ▏                                          3.0 ms
    retrieve process           ░████████                        10.0 ms  96.0 ms
      embed query               ▏                                        10.0 ms
      search                     ███████                                 82.0 ms
      rerank process                   ░░░░░░░░████████        100.0 ms  90.0 ms
        generate process                              ████████   5.0 ms  94.0 ms
                               ! Transient: the model is away

█ work   ░ waiting in the broker   ! error"""
    )


def test_no_line_is_wider_than_asked_for() -> None:
    long = [*QUESTION, span("a name that is much too long for its column", 9, 7, 390, 4_000_000, error="e" * 200)]
    for width in (70, 80, 120):
        assert max(map(len, waterfall(long, width=width))) <= width


def test_ascii_draws_with_ascii() -> None:
    assert "\n".join(waterfall(QUESTION, pen=ASCII)).isascii()


def test_a_span_whose_parent_is_missing_stands_at_the_root() -> None:
    lines = waterfall([span("orphan", 2, 99, 0, 1), span("child", 3, 2, 0, 1)])
    assert [line.split(" ")[0] for line in lines[4:5]] == ["orphan"]
    assert lines[5].startswith("  child")


def test_a_trace_of_one_instant_is_drawn() -> None:
    assert any(line.startswith("blink") for line in waterfall([span("blink", 1, None, 5, 5)]))


def test_a_deep_trace_stays_legible() -> None:
    deep = [span(f"s{number}", number, number - 1 if number > 1 else None, number, 100) for number in range(1, 60)]
    lines = waterfall(deep)
    assert max(map(len, lines)) <= 80
    assert any("s59" in line for line in lines)
