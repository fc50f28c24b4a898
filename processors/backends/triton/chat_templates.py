"""A question with its evidence as the one text that a server takes which applies no template by itself."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from processors.prompts import COMPLETION_STOPS, completion, messages
from schemas import Passage


@dataclass(frozen=True, slots=True)
class Template:
    """How a model was trained to read a chat."""

    role: str
    """Before each message, with `{}` for who speaks."""
    end: str
    """After each message, and where an answer ends."""

    def render(self, question: str, passages: Sequence[Passage], *, evidence_bytes: int) -> str:
        """The whole prompt, up to where the answer begins."""
        chat = messages(question, passages, evidence_bytes=evidence_bytes)
        turns = [f"{self.role.format(message['role'])}{message['content']}{self.end}" for message in chat]
        return "".join(turns) + self.role.format("assistant")

    @property
    def stops(self) -> tuple[str, ...]:
        return (self.end.strip(),)


@dataclass(frozen=True, slots=True)
class Plain:
    """No template: for models that only continue text, and good enough for most that were trained to chat."""

    render: Callable[..., str] = completion
    stops: tuple[str, ...] = COMPLETION_STOPS


TEMPLATES: dict[str, Template | Plain] = {
    "plain": Plain(),
    "chatml": Template("<|im_start|>{}\n", "<|im_end|>\n"),
    "llama3": Template("<|start_header_id|>{}<|end_header_id|>\n\n", "<|eot_id|>"),
}
"""By the names that a URL's `template=` takes; chatml is what Qwen and SmolLM2 read."""


class Until:
    """Lets text pass up to the first of some words, however the pieces cut them."""

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = stops
        self._held = ""
        self.found = False

    def feed(self, piece: str) -> str:
        """What is certainly before the first of them; nothing more once one is `found`."""
        if self.found:
            return ""
        text, self._held = self._held + piece, ""
        places = [place for place in map(text.find, self._stops) if place >= 0]
        if places:
            self.found = True
            return text[: min(places)]
        cut = next(
            (place for place in range(len(text)) if any(_begins(stop, text[place:]) for stop in self._stops)), None
        )
        if cut is not None:
            text, self._held = text[:cut], text[cut:]
        return text

    def end(self) -> str:
        """What was held because it might have become one of them."""
        held, self._held = self._held, ""
        return held


def _begins(stop: str, text: str) -> bool:
    return len(text) < len(stop) and stop.startswith(text)
