"""Where a text is cut: at places that its own structure names, chosen by looking only around them."""

import re
import unicodedata
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

AFTER_HEADING, CHARACTER, WORD, SENTENCE, LINE, ELEMENT, HEADING = range(7)
"""What lies between two atoms, weakest first; a heading of depth d counts `HEADING + DEEPEST - d`."""
DEEPEST = 9
PAGE = HEADING + DEEPEST + 1
"""Never within a chunk: a passage has one page."""

PATTERNS = (
    (LINE, re.compile(r"\n+")),
    (SENTENCE, re.compile(r"""(?<=[.!?…])["')\]\u201d\u2019]*\s+|(?<=[\u3002\uff01\uff1f])""")),
    (WORD, re.compile(r"\s+")),
)
SPARSE = 7
"""In text without sentences one place in eight is a candidate, by its hash: atoms of about 60 characters."""
JOINERS = "\u200d\ufe0f\ufe0e" + "".join(chr(code) for code in range(0x1F3FB, 0x1F400))
MAX_CLUSTER_CHARS = 32


@dataclass(frozen=True, slots=True)
class Atom:
    """A stretch of text that is kept whole, without white space at its ends."""

    start: int
    end: int
    level: int
    """What lies before it."""


def atoms(text: str, start: int, end: int, *, level: int, limit: int) -> Iterator[Atom]:
    """The atoms of one element: itself, or its lines, sentences, words, characters as far as `limit` demands."""
    first, last = _trimmed(text, start, end)
    if last - first > limit:
        yield from _atoms(text, (first, last), level, limit, finer=0)
    elif first < last:
        yield Atom(first, last, level)


def grouped(text: str, parts: Sequence[Atom], *, min_chars: int, max_chars: int, by_title: bool) -> list[list[int]]:
    """Which atoms make a chunk: first and last index of each.

    Neighbours are joined across the weakest boundary first and, among equals, in the order of a hash of the atom
    behind it, as long as the result fits `max_chars`. No running position decides, so an edit changes the chunks
    around it and no others. Across a heading, `by_title` joins only for a side that is below `min_chars`.
    """
    first, last = list(range(len(parts))), list(range(len(parts)))
    for index in _weakest_first(text, parts):
        left, right = first[index - 1], last[index]
        size = parts[right].end - parts[left].start
        if size > max_chars:
            continue
        if by_title and parts[index].level >= HEADING:
            before, after = parts[index - 1].end - parts[left].start, parts[right].end - parts[index].start
            if min(before, after) >= min_chars:
                continue
        first[right], last[left] = left, right
    groups, index = [], 0
    while index < len(parts):
        groups.append([index, last[index]])
        index = last[index] + 1
    return groups


def _weakest_first(text: str, parts: Sequence[Atom]) -> list[int]:
    def rank(index: int) -> tuple[int, int]:
        part = parts[index]
        return part.level, zlib.crc32(text[part.start : part.end].encode("utf-8", "surrogatepass"))

    return sorted((n for n, part in enumerate(parts) if n and part.level < PAGE), key=rank)


def _atoms(text: str, span: tuple[int, int], level: int, limit: int, *, finer: int) -> Iterator[Atom]:
    """The atoms of a span that is over `limit`; `finer` counts the patterns that were tried before."""
    start, end = span
    inner, places = CHARACTER, []
    if finer < len(PATTERNS):
        inner, pattern = PATTERNS[finer]
        places = [match.end() for match in pattern.finditer(text, start, end)]
    if inner == WORD:
        places = list(_sparse(text, start, places, end, limit))
    elif inner == CHARACTER:
        places = _characters(text, start, end, limit)
    for left, right in pairwise([start, *places, end]):
        first, last = _trimmed(text, left, right)
        if first == last:
            continue
        if last - first <= limit:
            yield Atom(first, last, level)
        else:
            yield from _atoms(text, (first, last), level, limit, finer=finer + 1)
        level = inner


def _trimmed(text: str, start: int, end: int) -> tuple[int, int]:
    """The span without the white space at its ends."""
    piece = text[start:end]
    first = start + len(piece) - len(piece.lstrip())
    return first, max(first, start + len(piece.rstrip()))


def _sparse(text: str, start: int, places: Iterable[int], end: int, limit: int) -> Iterator[int]:
    """Those places whose following text has a rare hash, and more only where they would be over `limit` apart."""
    taken = spare = start
    for place in [*places, end]:
        if place - taken > limit and spare > taken:
            yield spare
            taken = spare
        if place < end and zlib.crc32(text[place : place + 16].encode("utf-8", "surrogatepass")) & SPARSE == 0:
            yield place
            taken = place
        spare = place


def _characters(text: str, start: int, end: int, limit: int) -> list[int]:
    """Places in unbroken text, by a hash of the eight characters before them, never inside a visible character."""
    codes = np.frombuffer(text[start:end].encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
    state = np.zeros(len(codes), dtype=np.uint32)
    for back in range(8):
        state[back:] += codes[: len(codes) - back] * np.uint32(pow(0x9E3779B1, back + 1, 2**32))
    state ^= state >> np.uint32(15)
    rare = np.flatnonzero((state * np.uint32(0x85EBCA6B)) >> np.uint32(26) == 0)
    places, taken = [], start
    for place in [*(rare + start + 1).tolist(), end]:
        while place - taken > limit:
            whole = _whole(text, taken + limit, taken)
            taken = whole if whole > taken else taken + limit
            places.append(taken)
        if place < end and (whole := _whole(text, place, taken)) > taken:
            places.append(whole)
            taken = whole
    return places


def _whole(text: str, place: int, lowest: int) -> int:
    """The nearest place at or before `place` that splits no combined character; `lowest` where none is near."""
    for candidate in range(place, max(lowest, place - MAX_CLUSTER_CHARS), -1):
        char = text[candidate]
        if not (unicodedata.combining(char) or char in JOINERS or text[candidate - 1] == "\u200d"):
            return candidate
    return lowest
