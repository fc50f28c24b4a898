"""Dead letters as a person reads them."""

from datetime import UTC, datetime, timedelta

from streams.cli.letters import table
from streams.letters.letter import DeadLetter, Place

KEY = f"acme/{'a long folder/' * 4}handbook.md"
DETAIL = "'handbook.md' is binary, or text whose encoding cannot be told: save it as UTF-8"


def letter() -> DeadLetter:
    return DeadLetter(
        id=Place("documents-dlq", 3, 17),
        key=KEY,
        stage="chunk",
        code="unreadable",
        detail=DETAIL,
        attempts=1,
        time=datetime.now(UTC) - timedelta(hours=3),
        trace="",
        source=None,
        size_bytes=100,
        omitted_bytes=None,
        deadline=None,
        history=(),
        written_ms=0,
    )


def test_a_narrow_terminal_shows_the_document_and_the_reason_whole() -> None:
    about, *below = table([letter()], columns=40)
    assert about == f"documents-dlq/3/17  chunk  unreadable  3 h  {KEY}"
    assert all(line.startswith("    ") and len(line) < 40 for line in below)
    assert " ".join(line.strip() for line in below) == DETAIL


def test_a_program_reads_a_line_per_letter() -> None:
    (line,) = table([letter()])
    assert line.endswith(DETAIL)
