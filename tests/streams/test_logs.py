"""Log lines are JSON objects and quote nobody."""

import json
import logging
import sys

from streams.logs import MAX_REMEMBERED, QUIET_S, JsonLines, Repeats


def line(**extra: object) -> dict[str, object]:
    record = logging.LogRecord("headwater.runtime", logging.WARNING, __file__, 1, "dead letter", (), None)
    vars(record).update(extra)
    parsed: dict[str, object] = json.loads(JsonLines().format(record))
    return parsed


def test_extra_fields_stand_beside_the_event() -> None:
    parsed = line(stage="embed", offset=7, odd=object)
    assert parsed["event"] == "dead letter"
    assert parsed["level"] == "warning"
    assert (parsed["stage"], parsed["offset"]) == ("embed", 7)


def test_a_traceback_names_the_place_and_not_the_message() -> None:
    try:
        raise ValueError("a sentence of somebody's document")
    except ValueError:
        record = logging.LogRecord("headwater", logging.ERROR, __file__, 1, "bug", (), sys.exc_info())
    text = JsonLines().format(record)
    assert "somebody" not in text
    parsed = json.loads(text)
    assert parsed["error"] == "ValueError"
    assert "test_logs.py" in parsed["traceback"][0]


def test_a_library_that_repeats_itself_is_held_back_and_counted() -> None:
    now = 0.0
    repeats = Repeats(lambda: now)
    said = [logging.LogRecord("aiokafka.conn", logging.ERROR, "", 1, "no node %s", (node,), None) for node in range(4)]
    assert [repeats.filter(record) for record in said[:3]] == [True, False, False]
    now = QUIET_S
    assert repeats.filter(said[3])
    assert json.loads(JsonLines().format(said[3]))["repeated"] == 2


def test_our_own_words_always_pass() -> None:
    repeats = Repeats(lambda: 0.0)
    letters = [logging.LogRecord("headwater.runtime", logging.WARNING, "", 1, "dead letter", (), None)] * 3
    assert [repeats.filter(record) for record in letters] == [True, True, True]


def test_a_library_that_never_says_the_same_twice_is_not_remembered_for_ever() -> None:
    repeats = Repeats(lambda: 0.0)
    for number in range(3 * MAX_REMEMBERED):
        assert repeats.filter(logging.LogRecord("chatty", logging.WARNING, "", 1, f"line {number}", (), None))
    assert len(repeats._said) <= MAX_REMEMBERED
