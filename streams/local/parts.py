"""What the stack is made of: parts, in order of dependency."""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

PartName = str


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A process that the supervisor starts, watches and restarts."""

    name: PartName
    command: Callable[[], list[str]] | None = None
    """The command line, found when the part starts; none: a step that `prepare` completes."""
    prepare: Callable[[], None] | None = None
    """Done before every start; may block, repeats harmlessly, raises PartFailed."""
    probe: Callable[[], bool] | None = None
    """Whether a real request is answered; may block for a second."""
    ready_line: bytes = b""
    """Output that says it is ready, where there is no request to make."""
    port: int | None = None
    port_setting: str = ""
    """What to set where another program has the port."""
    after: tuple[PartName, ...] = ()
    """The parts that must be ready before."""
    environment: Mapping[str, str] = field(default_factory=dict)
    start_s: float = 120.0
    """How long it may take to be ready."""
    stop_s: float = 15.0
    """How long it may take to stop before it is killed."""


def own(module: str, *arguments: str) -> list[str]:
    """The command line that runs one of our modules with this Python."""
    return [sys.executable, "-P", str(Path(__file__).with_name("run.py")), module, *arguments]
