"""What can go wrong in a command: one line for a person, one exit code for a program."""

from typing import Literal

ExitCode = Literal[1, 2, 3, 4, 5]
REJECTED: ExitCode = 1
"""The job ran, and the answer is no: a document was rejected, a question refused, what was named is not there."""
USAGE: ExitCode = 2
"""A flag or a setting is wrong."""
UNREACHABLE: ExitCode = 3
"""The broker or a backend does not answer."""
TIMED_OUT: ExitCode = 4
"""Nobody answered in time."""
FAILED: ExitCode = 5
"""The pipeline tried and reported a failure, or this machine did: a disk that is full, a file that is kept from us."""
LEFT = 141
"""Whoever read our output left: what a shell reports of a program that the signal for it ended."""


class CommandError(Exception):
    """Ends a command with a message that says what is wrong, with which input, and what to do."""

    def __init__(self, message: str, code: ExitCode = REJECTED, *, answered: bool = False) -> None:
        super().__init__(message)
        self.code = code
        self.answered = answered
        """Whether the command has printed its answer: with `--json`, a second object would spoil it."""


def exit_code(error: CommandError | OSError) -> ExitCode:
    """The documented exit code for an error that ends a command."""
    match error:
        case CommandError():
            return error.code
        case ConnectionError():
            return UNREACHABLE
        case TimeoutError():
            return TIMED_OUT
        case FileNotFoundError():
            return REJECTED
        case _:
            return FAILED


def record(error: CommandError | OSError) -> dict[str, object] | None:
    """What `--json` prints in place of the answer; nothing where that was given."""
    if isinstance(error, CommandError) and error.answered:
        return None
    return {"error": describe(error), "exit_code": exit_code(error)}


def describe(error: CommandError | OSError) -> str:
    """The error as one clear line."""
    if isinstance(error, ConnectionError) and (broker := _of_running_stack(error)):
        return f"the broker {broker} does not answer, though the local stack runs: `headwater status` shows its parts"
    if isinstance(error, OSError) and error.strerror and error.filename is not None:
        return f"{error.strerror}: {error.filename!r}"
    return str(error) or type(error).__name__


def _of_running_stack(error: ConnectionError) -> str:
    """The broker that does not answer, where it is one of this home's running stack; else empty."""
    from streams.cli.sources import load_settings
    from streams.local import state
    from streams.tail import BrokerUnreachable

    if not isinstance(error, BrokerUnreachable):
        return ""
    home = load_settings().home.resolve()
    seen = state.read(home)
    return error.address if seen is not None and seen.kafka == error.address and state.running(home) else ""
