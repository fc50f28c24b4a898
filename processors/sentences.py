"""Where sentences begin and end in text as documents really have it."""

import re
from collections.abc import Iterator
from typing import NamedTuple

MAX_SENTENCE_CHARS = 600
"""Longer ones are unpunctuated tables, logs or code; they are cut between words."""
SHORT_LINE_CHARS = 60
"""A line this short that does not run on into a small letter is a heading, a list item or a table row."""

_ABBREVIATIONS = (
    "al approx art bros ca cf ch co corp dept dr e.g ed eds eq esp est etc fig figs gen gov i.e inc jr lt ltd max min "
    "mr mrs ms mt no nos nr op p pp prof pt rep resp rev sec sen sgt sr st tab u.k u.s vol vols vs z.b bzw usw jan feb "
    "mar apr jun jul aug sep sept oct nov dec"
)
ABBREVIATIONS = frozenset(_ABBREVIATIONS.split())

_ENDING = re.compile(
    r"""[.!?\u2026]+["'\u201d\u2019\u00bb)\]]*(?=\s)"""
    r"""|[\u3002\uff01\uff1f]+[\u201d\u2019\u300d\u300f\uff09]*"""  # Chinese and Japanese: no space follows
)
_LAST_WORD = re.compile(r"[\w.]+$")
_LINE = re.compile(r"[^\n]+")
_ITEM = re.compile(r"(?:[-*+•‣·|#>]|\(?\d{1,3}[.)]|\(?[a-z][.)])\s|\|")
_ROW = re.compile(r"[^\W_][^:.;!?\n]{0,60}:\s|[^\n]*(?:\t| \| )")
"""How the readers write a row of a table or a field: `label: value`, or cells between bars."""
_OPENING = re.compile(r"""[\s"'\u201c\u2018\u00ab(\[]*""")


class Sentence(NamedTuple):
    """A sentence, heading, list item or table row: `text` is exactly `whole[start:end]`."""

    start: int
    end: int
    text: str


def sentences(whole: str) -> list[Sentence]:
    """The sentences of a text in order, without the white space between them, each with a letter or digit in it."""
    found = []
    for start, end in _blocks(whole):
        for begin, stop in _split(whole, start, end):
            text = whole[begin:stop].strip()
            if any(letter.isalnum() for letter in text):
                first = whole.index(text, begin)
                found.append(Sentence(first, first + len(text), text))
    return found


def _blocks(whole: str) -> Iterator[tuple[int, int]]:
    """Runs of lines that belong together: a hard-wrapped paragraph is one, each heading or table row another."""
    start = end = -1
    for line in _LINE.finditer(whole):
        text = line.group()
        if start >= 0 and not _continues(whole[start:end], whole[end : line.start()], text):
            yield start, end
            start = -1
        if text.strip():
            start, end = (line.start() if start < 0 else start), line.end()
        elif start >= 0:
            yield start, end
            start = -1
    if start >= 0:
        yield start, end


def _continues(before: str, gap: str, line: str) -> bool:
    if gap.count("\n") > 1:
        return False
    last, text = before.rpartition("\n")[2].strip(), line.strip()
    if not text or _ITEM.match(text) or last.startswith(("|", "#")) or (_ROW.match(last) and _ROW.match(text)):
        return False
    return text[0].islower() or len(last) >= SHORT_LINE_CHARS


def _split(whole: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    begin = start
    for ending in _ENDING.finditer(whole, start, end):
        if ending.end() < end and _ends_here(whole[begin : ending.start()], ending.group(), whole[ending.end() : end]):
            yield from _cut(whole, begin, ending.end())
            begin = ending.end()
    yield from _cut(whole, begin, end)


def _ends_here(before: str, mark: str, after: str) -> bool:
    following = after[_OPENING.match(after).end() :]  # type: ignore[union-attr]
    if not following or following[0].islower():
        return False
    if mark != ".":
        return True
    last = _LAST_WORD.search(before)
    word = last.group() if last else ""
    initial = len(word) == 1 and word.isalpha() and word.isupper()
    numbered = word.isdecimal() and not before[: -len(word)].strip()
    return not (initial or numbered or word.lower() in ABBREVIATIONS)


def _cut(whole: str, begin: int, end: int) -> Iterator[tuple[int, int]]:
    while end - begin > MAX_SENTENCE_CHARS:
        space = max(
            whole.rfind(" ", begin, begin + MAX_SENTENCE_CHARS), whole.rfind("\n", begin, begin + MAX_SENTENCE_CHARS)
        )
        stop = space if space > begin else begin + MAX_SENTENCE_CHARS
        yield begin, stop
        begin = stop
    yield begin, end
