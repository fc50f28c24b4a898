"""What every backend must do, as plain checks that run against any server.

A suite is a tuple of checks in the order in which they make sense to a reader. A check is a coroutine function over an
open port: its name says what must hold in a few words, its docstring in a sentence. It returns nothing where that
holds, and raises Violation where it does not.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

from processors.errors import Poison, Transient

T = TypeVar("T")
E = TypeVar("E", bound=Exception)
Check = Callable[[T], Awaitable[None]]

CHECK_TIMEOUT_S = 120.0
"""For one check: a store that reads with strong consistency needs half a second for each of a hundred reads."""
AWAY = "the server could not be used for the two checks before this one"


class Violation(Exception):
    """A backend does not do what its port promises: what was expected, what came, and what that breaks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of one check."""

    check: str
    says: str
    """What must hold."""
    verdict: Literal["passed", "failed", "skipped"]
    ms: float
    reason: str = ""
    """Of what did not pass: a sentence for whoever runs the server."""


async def examine(checks: Sequence[Check[T]], subject: T) -> AsyncIterator[Outcome]:
    """Run the checks one after another; an outcome each as it is known.

    Once a server could not be used twice in a row, the rest is skipped: it is away, and nobody wants to wait for all
    the timeouts.
    """
    away = 0
    for check in checks:
        if away >= 2:
            yield Outcome(check=title(check), says=sentence(check), verdict="skipped", ms=0, reason=AWAY)
            continue
        started = time.perf_counter()
        # As a value: whatever a backend raises is a finding about it, and the next check runs all the same.
        [raised] = await asyncio.gather(_in_time(check, subject), return_exceptions=True)
        away = away + 1 if isinstance(raised, Transient) else 0
        yield Outcome(
            check=title(check),
            says=sentence(check),
            verdict="passed" if raised is None else "failed",
            ms=1e3 * (time.perf_counter() - started),
            reason=_reason(raised),
        )


def title(check: Check[T]) -> str:
    """A check's name in words."""
    return check.__name__.replace("_", " ")


def sentence(check: Check[T]) -> str:
    """What the check holds a backend to."""
    return (check.__doc__ or "").strip()


def equal(came: object, wanted: object, what: str, breaks: str) -> None:
    """Raises Violation where what came is not what was wanted."""
    if came != wanted:
        raise Violation(f"{what}: expected {wanted!r}, got {came!r}; so {breaks}")


def holds(condition: object, said: str, breaks: str) -> None:
    """Raises Violation where the condition is false; `said` tells what was expected and what came."""
    if not condition:
        raise Violation(f"{said}; so {breaks}")


async def raises(kind: type[E], attempt: Awaitable[object], what: str, breaks: str) -> E:
    """The error of this kind that the attempt raised; Violation where it raised none."""
    try:
        came = await attempt
    except kind as error:
        return error
    raise Violation(f"{what}: expected {kind.__name__}, got {came!r:.200}; so {breaks}")


async def _in_time(check: Check[T], subject: T) -> None:
    try:
        async with asyncio.timeout(CHECK_TIMEOUT_S):
            await check(subject)
    except TimeoutError:
        raise Violation(f"no end after {CHECK_TIMEOUT_S:.0f} s: the server hangs, or is far too slow") from None


def _reason(raised: BaseException | None) -> str:
    match raised:
        case None:
            return ""
        case Violation():
            return str(raised)
        case Transient():
            return f"the server could not be used: {raised}"
        case Poison():
            return f"a good request was refused: {raised}"
        case _:
            return f"{type(raised).__name__} came through, where only Transient and Poison may: {raised}"
