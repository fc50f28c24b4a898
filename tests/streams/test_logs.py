"""Log lines are JSON objects and quote nobody."""

import json
import logging
import sys

from streams.logs import JsonLines


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
