"""Letters as they are read: what workers wrote, and what anybody else may have."""

from datetime import UTC, datetime, timedelta

import pytest

from schemas import encode
from streams.letters.letter import Place, read_letter
from streams.runtime.deadletters import Letter
from streams.runtime.headers import outgoing
from streams.runtime.records import Headers, Record
from tests.streams.runtime.wiring import NOW, PREFIX, question


def lying(headers: Headers, *, topic: str = "documents-dlq", key: bytes | None = b"t/d", value: bytes = b"") -> Record:
    return Record(
        topic=PREFIX + topic, partition=0, offset=7, key=key, value=value, headers=headers, timestamp_ms=1_000
    )


def test_what_a_worker_wrote_is_read_back() -> None:
    asked = question(deadline=NOW + timedelta(seconds=5))
    source = Record(topic=f"{PREFIX}queries", partition=3, offset=4, key=b"q1", value=b"", headers=(), timestamp_ms=0)
    written = Letter(
        topic=f"{PREFIX}queries-dlq",
        key=asked.key.encode(),
        value=encode(asked),
        headers=outgoing(asked, event_id="1", source="/test", time=NOW),
        stage="retrieve",
        code="too-odd",
        detail="odd: ü",
        attempts=2,
        source=source,
        time=NOW,
        trace="ab" * 16,
    ).record()
    letter = read_letter(
        lying(written.headers, topic="queries-dlq", key=written.key, value=written.value or b""), PREFIX
    )
    assert (letter.stage, letter.code, letter.detail, letter.attempts) == ("retrieve", "too-odd", "odd: ü", 2)
    assert (letter.id, letter.source) == (Place("queries-dlq", 0, 7), Place("queries", 3, 4))
    assert (letter.time, letter.trace, letter.topic.name) == (NOW, "ab" * 16, "queries")
    assert not letter.late(NOW)
    assert letter.late(NOW + timedelta(seconds=5))


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("dlq-attempts", b"-1"), ("dlq-time", b"never"), ("dlq-source-topic", b"documents")],
        [("dlq-attempts", b"9" * 40), ("dlq-time", b"\xff"), ("dlq-source-offset", "²".encode())],
        [("dlq-trace", b"0" * 32), ("dlq-stage", None), ("dlq-source-partition", b"1"), ("dlq-source-offset", b"1")],
    ],
)
def test_what_somebody_else_wrote_is_a_letter_all_the_same(headers: Headers) -> None:
    letter = read_letter(lying(headers, key=b"\xff"), PREFIX)
    assert (letter.stage, letter.attempts, letter.trace, letter.source) == ("", 1, "", None)
    assert letter.time == datetime.fromtimestamp(1, UTC)
    assert letter.key == "\ufffd"


def test_a_question_that_cannot_be_read_is_never_late() -> None:
    letter = read_letter(lying([("ce_type", b"headwater.query-asked.v1")], topic="queries-dlq", value=b"{"), PREFIX)
    assert letter.deadline is None


def test_a_place_is_what_it_is_written_as() -> None:
    place = Place("documents-dlq", 0, 17)
    assert Place.parse(str(place)) == place
    for wrong in ("", "a", "a/1", "/0/1", "a/b/1", "a/0/-1", "a/0/1/", "a/0/²"):
        with pytest.raises(ValueError, match=r".*"):
            Place.parse(wrong)
