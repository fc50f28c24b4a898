"""Texts, pairs and token ids, as token ids that a model may read."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeGuard

from tokenizers import Tokenizer

from tests.servers.tei.flags import Flags
from tests.servers.tei.refusals import empty, invalid, unknown_prompt

Pair = tuple[str, str]
Input = str | Pair | Sequence[int]
Side = Literal["left", "right"]

CLS, SEP = 101, 102
CHARS_PER_TOKEN = 250
"""TEI refuses, or cuts, a text of more characters than this for each token of the model before it tokenizes."""


@dataclass(frozen=True, slots=True)
class Encoding:
    """What one input is to the model."""

    ids: tuple[int, ...]
    first: tuple[int, ...]
    """Of a pair, or of a text alone: the tokens before the separator, without special ones."""
    second: tuple[int, ...]
    text: str
    characters: int
    """Of what was sent, before anything was added or cut."""


@dataclass(frozen=True, slots=True)
class Token:
    """A token as /tokenize shows it; where it stands is counted in bytes."""

    id: int
    text: str
    special: bool
    start: int | None
    stop: int | None


class Encoder:
    """Reads with the model's tokenizer; safe to call from several threads."""

    def __init__(self, tokenizer: Tokenizer, flags: Flags) -> None:
        self._tokenizer = tokenizer
        self._flags = flags
        self._longest = flags.max_input_length
        self._max_chars = self._longest * CHARS_PER_TOKEN

    def encode(self, given: Input, *, truncate: bool, side: Side, prompt_name: str | None) -> Encoding:
        """The tokens of one input, or the refusal that it gets."""
        if isinstance(given, str):
            text = self._prompt(prompt_name) + self._checked(given, truncate, side)
            ids = self._with_specials(self._ids(text), truncate, side)
            return Encoding(ids, ids[1:-1], (), text, len(given))
        if _is_pair(given):
            one, two = (self._checked(each, truncate, side, pair=given) for each in given)
            first, second = self._fit(self._ids(one), self._ids(two), truncate, side)
            ids = (CLS, *first, SEP, *second, SEP)
            return Encoding(ids, first, second, f"{one}\n{two}", len(given[0]) + len(given[1]))
        return self._encode_ids([int(each) for each in given], truncate, side, prompt_name)

    def tokens(self, text: str, *, specials: bool, prompt_name: str | None) -> list[Token]:
        """Every token of a text, uncut."""
        text = self._prompt(prompt_name) + self._checked(text, False, "right")
        encoding = self._tokenizer.encode(text, add_special_tokens=specials)
        bytes_before = _bytes_before(text)
        rows = zip(encoding.ids, encoding.tokens, encoding.offsets, encoding.special_tokens_mask, strict=True)
        return [
            Token(id_, token, True, None, None)
            if special
            else Token(id_, text[start:stop], False, bytes_before[start], bytes_before[stop])
            for id_, token, (start, stop), special in rows
        ]

    def decode(self, ids: Sequence[int], *, skip_specials: bool) -> str:
        if not ids:
            raise empty("Input validation error: `input_ids`")
        return str(self._tokenizer.decode(list(ids), skip_special_tokens=skip_specials))

    def _encode_ids(self, given: Sequence[int], truncate: bool, side: Side, prompt_name: str | None) -> Encoding:
        if not given:
            raise empty()
        prompt = self._prompt(prompt_name)
        if prompt:
            text = prompt + self._tokenizer.decode(list(given), skip_special_tokens=True)
            ids = self._with_specials(self._ids(text), truncate, side)
        else:
            text = self._tokenizer.decode(list(given), skip_special_tokens=False)
            ids = self._ids(text)
            self._check_length(len(ids), truncate)
            ids = _cut(ids, self._longest, side)
        return Encoding(ids, ids, (), text, len(given))

    def _prompt(self, name: str | None) -> str:
        name = self._flags.default_prompt_name if name is None else name
        if name is None:
            return ""
        if name not in self._flags.prompts:
            raise unknown_prompt(name, list(self._flags.prompts))
        return self._flags.prompts[name]

    def _checked(self, text: str, truncate: bool, side: Side, pair: Pair | None = None) -> str:
        if not text and not any(pair or ()):
            raise empty()
        if len(text) <= self._max_chars:
            return text
        if not truncate:
            raise invalid(f"`inputs` must have less than {self._max_chars} characters. Given: {len(text)}")
        return text[: self._max_chars] if side == "right" else text[-self._max_chars :]

    def _ids(self, text: str) -> tuple[int, ...]:
        return tuple(self._tokenizer.encode(text, add_special_tokens=False).ids)

    def _with_specials(self, body: tuple[int, ...], truncate: bool, side: Side) -> tuple[int, ...]:
        self._check_length(len(body) + 2, truncate)
        return (CLS, *_cut(body, self._longest - 2, side), SEP)

    def _fit(
        self, one: tuple[int, ...], two: tuple[int, ...], truncate: bool, side: Side
    ) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Cut the longer one first, until the pair and its three special tokens fit."""
        self._check_length(len(one) + len(two) + 3, truncate)
        room = self._longest - 3
        longest_of_one = max(room - len(two), room // 2)
        one = _cut(one, longest_of_one, side)
        return one, _cut(two, room - len(one), side)

    def _check_length(self, count: int, truncate: bool) -> None:
        if count > self._longest and not truncate:
            raise invalid(f"`inputs` must have less than {self._longest} tokens. Given: {count}")


def _is_pair(given: Pair | Sequence[int]) -> TypeGuard[Pair]:
    return isinstance(given, tuple)


def _cut(ids: tuple[int, ...], longest: int, side: Side) -> tuple[int, ...]:
    if len(ids) <= longest:
        return ids
    return ids[:longest] if side == "right" else ids[len(ids) - longest :]


def _bytes_before(text: str) -> list[int]:
    counts = [0]
    for character in text:
        counts.append(counts[-1] + len(character.encode()))
    return counts
