"""Something slow, shown: a spinner on a terminal, a line now and then in a pipe."""

import threading
import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.markup import escape

SILENCE_S = 3.0
"""In a pipe, a line says what is going on when nothing else was printed for this long."""


class Activity:
    """Says what is being done now, and keeps what was done."""

    def __init__(self, *, stderr: bool = False) -> None:
        self._console = Console(stderr=stderr, highlight=False, soft_wrap=True, emoji=False)
        self._spinner = self._console.status("") if self._console.is_terminal else None
        self._now = ""
        self._begun = time.monotonic()
        self._printed = self._begun
        self._over = threading.Event()
        self._heart = threading.Thread(target=self._beat, daemon=True)

    def __enter__(self) -> Self:
        if self._spinner is not None:
            self._spinner.start()
        self._heart.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._heart.join()
        if self._spinner is not None:
            self._spinner.stop()

    def now(self, message: str) -> None:
        """What is being done."""
        self._now = message

    def done(self, marked: str = "", plain: str = "") -> None:
        """What is finished: a line that stays, of text with rich's markup and of text as it stands."""
        self._printed = time.monotonic()
        self._console.print(" ".join(filter(None, (marked, escape(plain)))))

    def _beat(self) -> None:
        while not self._over.wait(0.2):
            message = f"{self._now} ({time.monotonic() - self._begun:.0f} s)"
            if self._spinner is not None:
                self._spinner.update(message)
            elif time.monotonic() - self._printed > SILENCE_S:
                self.done(message)
