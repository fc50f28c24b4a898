"""Run every benchmark, one after the other, and write docs/performance.md: `python -m benchmarks`."""

import subprocess
import sys
import time

from benchmarks import report
from benchmarks.results import RESULTS

LIMIT_S = 300.0
"""For each; on two quiet cores they take one to three minutes."""


def main() -> int:
    """How many benchmarks failed to measure; a missed target is no failure."""
    failed = []
    for name in report.ORDER:
        (RESULTS / f"{name}.json").unlink(missing_ok=True)
        print(f"--- {name}", flush=True)
        started = time.monotonic()
        if run(name):
            failed.append(name)
        print(f"    {time.monotonic() - started:.0f} s", flush=True)
    report.main()
    if failed:
        print(f"failed: {', '.join(failed)}; run one alone with `python -m benchmarks.NAME`", file=sys.stderr)
    return len(failed)


def run(name: str) -> int:
    """Exit code of the benchmark, killed softly where it takes too long."""
    with subprocess.Popen([sys.executable, "-m", f"benchmarks.{name}"]) as process:
        try:
            return process.wait(LIMIT_S)
        except subprocess.TimeoutExpired:
            process.terminate()  # it stops its servers and removes its files
            return process.wait()


if __name__ == "__main__":
    sys.exit(main())
