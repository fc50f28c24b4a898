"""How TEI says no."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

ErrorType = Literal["Empty", "Validation", "Tokenizer", "Backend", "Overloaded", "Unhealthy"]
Counted = Literal["batch_size", "tokenization", "validation", "model_type", "overloaded", "inference"]

STATUS: dict[ErrorType, int] = {
    "Empty": 400,
    "Validation": 422,
    "Tokenizer": 422,
    "Backend": 424,
    "Overloaded": 429,
    "Unhealthy": 503,
}


@dataclass(eq=False)
class Refusal(Exception):
    """An answer with a JSON body."""

    kind: ErrorType
    message: str
    counted: Counted
    """The `err` label that the failure gets in /metrics."""

    @property
    def status(self) -> int:
        return STATUS[self.kind]


@dataclass(eq=False)
class Unreadable(Exception):
    """An answer in plain text, given before the request is understood; it appears in no metric."""

    status: int
    message: str


def empty(what: str = "Input validation error: `inputs`") -> Refusal:
    return Refusal("Empty", f"{what} cannot be empty", "validation" if what.startswith("`") else "tokenization")


def invalid(message: str, counted: Counted = "tokenization") -> Refusal:
    return Refusal("Validation", f"Input validation error: {message}", counted)


def too_many(count: int, limit: int) -> Refusal:
    return Refusal("Validation", f"batch size {count} > maximum allowed batch size {limit}", "batch_size")


def wrong_model(message: str) -> Refusal:
    return Refusal("Backend", f"Backend error: {message}", "model_type")


def not_a_number() -> Refusal:
    return Refusal("Backend", "score is NaN", "inference")


def overloaded() -> Refusal:
    return Refusal("Overloaded", "Model is overloaded", "overloaded")


def unknown_prompt(name: str, known: Sequence[str]) -> Refusal:
    if not known:
        why = "no prompts were found in the Sentence Transformers configuration"
    else:
        names = ", ".join(f'"{each}"' for each in known)
        why = f"it was not found in the Sentence Transformers prompts. Available prompts: [{names}]"
    return invalid(f"`default-prompt-name` is set to `{name}` but {why}")
