"""Logs: one JSON object a line, for programs; without the text of documents or questions."""

import logging
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from types import TracebackType

import orjson

STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime"}

MAX_REMEMBERED = 1_000
"""Lines of libraries; some write a new one each time."""
QUIET_S = 10.0
"""Between two lines of a library that say the same; the arguments may differ."""


class JsonLines(logging.Formatter):
    """`time`, `level`, `event`, and whatever the caller passed as `extra`."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            "logger": record.name,
        }
        line |= {name: value for name, value in vars(record).items() if name not in STANDARD}
        if record.exc_info and record.exc_info[0] is not None:
            line["error"] = record.exc_info[0].__name__
            line["traceback"] = _frames(record.exc_info[2])
        return orjson.dumps(line, default=str).decode()


class Repeats(logging.Filter):
    """Lets a library say the same thing once in a while: without a broker, its client says it 200 times a second.

    The line that passes after a silence carries `repeated`, how many were held back. Our own loggers always pass.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._said: dict[tuple[str, str], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        if record.name.partition(".")[0] == "headwater":
            return True
        what = (record.name, str(record.msg))
        now = self._clock()
        if len(self._said) >= MAX_REMEMBERED:
            self._said.clear()
        at, held_back = self._said.get(what, (float("-inf"), 0))
        if now - at < QUIET_S:
            self._said[what] = (at, held_back + 1)
            return False
        self._said[what] = (now, 0)
        if held_back:
            record.repeated = held_back
        return True


def configure(level: str) -> None:
    """Send this process's logs to standard error, ours from `level` on and libraries' warnings."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    handler.addFilter(Repeats())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("headwater").setLevel(level.upper())


def _frames(traceback: TracebackType | None) -> list[str]:
    """Where it happened. The message is left out: it may quote a document."""
    frames = []
    while traceback is not None:
        code = traceback.tb_frame.f_code
        frames.append(f"{code.co_filename}:{traceback.tb_lineno} {code.co_qualname}")
        traceback = traceback.tb_next
    return frames
