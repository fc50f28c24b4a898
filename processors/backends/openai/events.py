"""What the events of an OpenAI-compatible stream say, whichever server wrote them."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import orjson

from schemas import Usage

MAX_EVENT_BYTES = 1024 * 1024


class NoEvent(ValueError):
    """A piece of a stream that has another shape than the API's; the message says which, without its text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One step of an answer."""

    text: str = ""
    reasoning: bool = False
    """Whether the server told some of the model's reasoning, in a field of its own."""
    finish: str | None = None
    """`stop`, `length`, or what else the server ends with."""
    model: str = ""
    """The name that the server gives what is answering."""
    usage: Usage | None = None
    error: str = ""


async def event_data(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The data of server-sent events, however the pieces cut them.

    Split at line feeds alone: JSON may hold U+2028 and U+0085, which Python's `splitlines` takes for line ends.
    """
    rest = b""
    async for piece in pieces:
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            name, _, data = line.partition(b":")
            if name == b"data":
                yield data.strip()
            elif name == b"error":  # so did llama.cpp for long
                yield b'{"error": %b}' % data
        if len(rest) > MAX_EVENT_BYTES:
            raise NoEvent(f"a line of over {MAX_EVENT_BYTES} bytes")


def read_event(data: bytes) -> Event:
    """One event of a chat (`delta`) or a completion (`text`). Raises NoEvent."""
    try:
        event = orjson.loads(data)
    except orjson.JSONDecodeError:
        raise NoEvent("no JSON") from None
    if not isinstance(event, dict):
        raise NoEvent("no JSON object")
    if problem := event.get("error"):
        return Event(error=str(problem.get("message", problem) if isinstance(problem, dict) else problem))
    try:
        return _step(event)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise NoEvent(f"{type(error).__name__} in its shape") from None


def _step(event: dict[str, Any]) -> Event:
    choices = event["choices"]
    choice = choices[0] if choices else {}
    delta = choice.get("delta") or {}
    text = delta.get("content") or choice.get("text") or ""
    finish, model = choice.get("finish_reason"), event.get("model") or ""
    if not all(isinstance(one, str) for one in (text, model, finish or "")):
        raise TypeError
    return Event(
        text=text,
        # vLLM renamed the field: https://docs.vllm.ai/en/latest/features/reasoning_outputs/
        reasoning=bool(delta.get("reasoning_content") or delta.get("reasoning")),
        finish=finish or None,
        model=model,
        usage=_usage(event.get("usage")),
    )


def _usage(spent: dict[str, Any] | None) -> Usage | None:
    if not spent:
        return None
    asked, said = spent.get("prompt_tokens") or 0, spent.get("completion_tokens") or 0
    if not (isinstance(asked, int) and isinstance(said, int) and min(asked, said) >= 0):
        raise TypeError
    return Usage(prompt_tokens=asked, completion_tokens=said)
