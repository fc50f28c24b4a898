"""Where a text may be cut: places that its own structure names, found by looking only around them."""

import re
import zlib
from bisect import bisect
from collections.abc import Iterable, Iterator
from itertools import pairwise

LINE = re.compile(r"\n+")
SENTENCE = re.compile(r"""(?<=[.!?…])["')\]\u201d\u2019]*\s+|(?<=[\u3002\uff01\uff1f])""")
WORD = re.compile(r"\s+")
CONTEXT_CHARS = 128
"""How much text after a place decides its rank: more than two rows of a table have in common."""
ROOM = 0.4
"""Least distance of two cuts, as a share of the largest chunk: no tiny chunks, and enough places to choose from."""


class Cuts:
    """Cuts a text top down: the strongest places first, weaker ones only where a piece is still too long.

    Among places of equal strength a hash of the text behind them decides, never a running count. So a cut depends
    on the text around it alone, and an edit moves the cuts beside it and no others.
    """

    def __init__(self, text: str, *, min_chars: int, max_chars: int) -> None:
        self.text = text
        self.min_chars = min_chars
        self.max_chars = max_chars
        self.offsets = [0, len(text)]

    def sections(self, places: Iterable[int]) -> None:
        """Cut at headings, wherever both sides keep at least `min_chars`."""
        self._cut(places, room=self.min_chars, longer_than=0)

    def places(self, places: Iterable[int]) -> None:
        """Cut pieces that are still too long at these places."""
        found = list(places)
        for room in (ROOM, ROOM / 2):
            self._cut(found, room=int(self.max_chars * room), longer_than=self.max_chars)

    def inside(self, pattern: re.Pattern[str]) -> None:
        """Cut pieces that are still too long behind matches of `pattern`."""
        for start, end in self._long():
            self.places(match.end() for match in pattern.finditer(self.text, start, end))

    def anywhere(self) -> None:
        """Cut what is left, unbroken text, between characters."""
        for start, end in self._long():
            for place in range(start + self.max_chars, end, self.max_chars):
                self.offsets.insert(bisect(self.offsets, place), place)

    def _long(self) -> list[tuple[int, int]]:
        limit = self.max_chars
        return [(a, b) for a, b in pairwise(self.offsets) if b - a > limit]

    def _cut(self, places: Iterable[int], *, room: int, longer_than: int) -> None:
        offsets = self.offsets
        for place in sorted(places, key=self._rank):
            after = bisect(offsets, place)
            if after == len(offsets):
                continue
            left, right = offsets[after - 1], offsets[after]
            if right - left > longer_than and place - left >= room and right - place >= room and place > left:
                offsets.insert(after, place)

    def _rank(self, place: int) -> int:
        return zlib.crc32(self.text[place : place + CONTEXT_CHARS].encode("utf-8", "surrogatepass"))


def trimmed(text: str, offsets: Iterable[int]) -> Iterator[tuple[int, int]]:
    """The pieces between neighbouring offsets without the white space around them, blank ones left out."""
    places = list(offsets)
    for start, end in pairwise(places):
        piece = text[start:end]
        body = piece.strip()
        if body:
            first = start + len(piece) - len(piece.lstrip())
            yield first, first + len(body)
