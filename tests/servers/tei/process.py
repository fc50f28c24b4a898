"""Start the stand-in beside a test, and end it."""

import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

CHECKOUT = Path(__file__).parents[3]


@dataclass(frozen=True, slots=True)
class Tei:
    """A running stand-in."""

    port: int
    process: subprocess.Popen[str]

    @property
    def url(self) -> str:
        """`http://127.0.0.1:PORT`; `tei+` before it makes it a setting."""
        return f"http://127.0.0.1:{self.port}"

    def slow_down(self, factor: float) -> None:
        """Each batch takes this many times longer from now on; 1 is its own speed."""
        request = urllib.request.Request(
            f"{self.url}/stand-in/slow-factor", str(factor).encode(), {"content-type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=10):
            pass

    def terminate(self) -> None:
        """SIGTERM: it listens no more and finishes what is in flight."""
        self.process.terminate()

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone; the port stays free for another."""
        self.process.kill()
        self.process.wait()


def command(*flags: str) -> list[str]:
    """What starts one; it ends, too, when its standard input does."""
    return [sys.executable, "-m", "tests.servers.tei", "--parent", *flags]


@contextmanager
def tei(*flags: str, port: int = 0) -> Iterator[Tei]:
    """A stand-in with these flags on a free port, ready; ended when the block does.

    `tei("--model", "minilm-reranker", "--api-key", "k")`; see `flags.py`. Give `port` to come back where another was.
    """
    line = command("--port", str(port), *flags)
    with subprocess.Popen(line, cwd=CHECKOUT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            address = process.stdout.readline().strip()
            if not address:
                raise RuntimeError(f"the stand-in did not start: exit status {process.wait()}; {' '.join(line)}")
            yield Tei(int(address.rpartition(":")[2]), process)
        finally:
            process.kill()
