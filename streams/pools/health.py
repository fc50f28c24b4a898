"""Health: one prober per instance and machine; the others read what it wrote."""

import asyncio
import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import BaseModel, ValidationError

from processors.errors import Transient
from processors.ports import Probed
from streams.runtime.clock import Clock

PROBE_EVERY_S = 5.0
PATIENCE_S = 10.0
"""A TEI answers its health route behind the running batch: longer than one takes, on a CPU too."""
FAILURES = 2
"""In a row before an instance counts as ill: one may have met a restart."""
STALE_S = 3 * (PROBE_EVERY_S + PATIENCE_S)
"""A verdict older than this says nothing: whoever wrote it is gone."""


class Verdict(BaseModel):
    """What the last probe found."""

    at: float
    """Seconds since the epoch."""
    failures: int = 0
    """In a row."""
    said: str = ""

    @property
    def ill(self) -> str:
        """What is wrong; empty: nothing."""
        return self.said if self.failures >= FAILURES else ""


class Health:
    """Asks instances for their health, and never two processes of this machine the same one at once.

    Eight such requests at once end a busy TEI, so whoever finds no fresh verdict takes the instance's lock first, and
    who does not get it goes by the old verdict.
    """

    def __init__(self, home: Path, clock: Clock) -> None:
        self._folder = home / "health"
        self._clock = clock

    async def ill(self, url: str, port: Probed) -> str:
        """Why this instance should get no calls; empty: it is well, or nobody knows."""
        name = hashlib.sha256(urlsplit(url).netloc.encode()).hexdigest()[:16]  # one server, whatever the options
        verdict = self._read(name)
        if verdict is None or self._age_s(verdict) >= PROBE_EVERY_S:
            with _held(self._folder / f"{name}.lock") as held:
                if held:
                    verdict = await self._probe(name, port)
        return verdict.ill if verdict is not None and self._age_s(verdict) < STALE_S else ""

    async def _probe(self, name: str, port: Probed) -> Verdict:
        before, said = self._read(name), ""
        if before is not None and self._age_s(before) < PROBE_EVERY_S:
            return before  # another process was faster
        try:
            async with asyncio.timeout(PATIENCE_S):
                await port.healthy()
        except Transient as error:
            said = error.reason
        except TimeoutError:
            said = f"no answer to a health request in {PATIENCE_S:.0f} s"
        failures = (before.failures if before is not None else 0) + 1 if said else 0
        verdict = Verdict(at=self._clock.now().timestamp(), failures=failures, said=said)
        with suppress(OSError):  # a full disk costs the sharing, not the pool
            scratch = self._folder / f"{name}.new"
            scratch.write_text(verdict.model_dump_json())
            scratch.replace(self._folder / f"{name}.json")
        return verdict

    def _read(self, name: str) -> Verdict | None:
        try:
            return Verdict.model_validate_json((self._folder / f"{name}.json").read_bytes())
        except (OSError, ValidationError):
            return None

    def _age_s(self, verdict: Verdict) -> float:
        return abs(self._clock.now().timestamp() - verdict.at)


@contextmanager
def _held(path: Path) -> Iterator[bool]:
    """Whether this process has the lock for as long as the body runs; the kernel drops it with its holder."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError:  # a home that takes no files: whoever cannot tell others that it asks must not ask
        yield False
        return
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(handle)
