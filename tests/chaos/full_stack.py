"""The local stack on a small disk: `python -m tests.chaos.full_stack DISK` ends with 0 where it recovers by itself.

Settings from the environment; the disk is its home.
"""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from streams.local import stack as local_stack
from streams.settings import Settings
from tests.chaos.small_disk import fill, free

WITHIN_S = 120.0


def headwater(*arguments: str) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "streams", *arguments]
    return subprocess.run(line, capture_output=True, text=True, timeout=WITHIN_S, check=False)


def good(*arguments: str) -> str:
    """What a command says that must not fail."""
    done = headwater(*arguments)
    assert done.returncode == 0, f"{arguments}: {done.stdout}{done.stderr}"
    return done.stdout


def until(met: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + WITHIN_S
    while not met():
        assert time.monotonic() < deadline, f"not within {WITHIN_S:.0f} s: {what}; {headwater('status')}"
        time.sleep(0.5)


@contextmanager
def running() -> Iterator[None]:
    """The whole stack, ready; it goes with this process, however that ends."""
    settings = Settings()
    local_stack.prepare(settings, lambda _done, _total: None)
    starting = local_stack.start(settings)
    try:
        local_stack.wait_ready(starting.home, process=starting.process)
        yield
    finally:
        local_stack.stop(settings)
        starting.release()
        starting.process.wait()


def main(disk: Path) -> None:
    with running():
        for number in (1, 2):
            (disk / f"{number}.txt").write_text(f"The mill number {number} stands at the river.")
        assert "1 indexed" in good("ingest", str(disk / "1.txt"))
        fill(disk)
        assert headwater("ingest", str(disk / "2.txt")).returncode != 0, "published on a disk without room"
        full = headwater("status")
        assert full.returncode == 1, full
        assert "is full" in full.stderr, full
        assert "free some space" in full.stderr, full
        free(disk)
        until(lambda: headwater("status").returncode == 0, "every part is ready again")
        assert "1.txt" in good("documents", "list")
        said = good("ingest", str(disk / "2.txt"))  # where its event had arrived all the same, nothing has changed
        assert "1 indexed" in said or "1 unchanged" in said, said
        assert "mill" in good("ask", "Where does the mill number 1 stand?")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
