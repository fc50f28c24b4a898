"""The passages of a document: slices of its extracted text, with their place in its structure."""

from collections.abc import Iterator, Sequence

from processors.boundaries import AFTER_HEADING, DEEPEST, ELEMENT, HEADING, PAGE, Atom, atoms, grouped
from processors.chunking import ChunkingRule
from processors.ports import Element
from schemas import Chunk, text_hash

SEPARATOR = "\n\n"
"""Stands between the elements of a document's extracted text, into which all offsets point."""


def passages(elements: Sequence[Element], rule: ChunkingRule) -> list[Chunk]:
    """The document's passages in order, each a slice of its extracted text: all elements, joined by `SEPARATOR`."""
    text = SEPARATOR.join(element.text for element in elements)
    parts, owners = _parts(text, elements, rule)
    sections = _sections(elements)
    by_title = rule.strategy == "by-title"
    found: list[Chunk] = []
    floor = 0
    for first, last in grouped(text, parts, min_chars=rule.min_chars, max_chars=rule.max_chars, by_title=by_title):
        if not found or parts[first].level == PAGE:
            floor = parts[first].start
        start = _overlapping(text, parts[first].start, floor, rule.overlap_chars)
        passage = text[start : parts[last].end]
        found.append(
            Chunk(
                ordinal=len(found),
                text=passage,
                text_hash=text_hash(passage),
                page=elements[owners[first]].page,
                section=_common(elements, sections, owners[first], owners[last]),
                start=start,
                end=parts[last].end,
            )
        )
    return found


def _parts(text: str, elements: Sequence[Element], rule: ChunkingRule) -> tuple[list[Atom], list[int]]:
    """The document's atoms, and the index of the element that each belongs to."""
    parts: list[Atom] = []
    owners: list[int] = []
    position = heading_chars = 0
    for index, element in enumerate(elements):
        level = _level(elements, index, rule)
        end = position + len(element.text)
        # What follows a heading leaves room for it, so that the two can stay together.
        limit = rule.max_chars - (heading_chars if heading_chars < rule.max_chars // 2 else 0)
        found = list(atoms(text, position, end, level=level, limit=limit))
        parts.extend(found)
        owners.extend([index] * len(found))
        heading_chars = heading_chars + len(element.text) + len(SEPARATOR) if element.kind == "title" else 0
        position = end + len(SEPARATOR)
    return parts, owners


def _level(elements: Sequence[Element], index: int, rule: ChunkingRule) -> int:
    before, element = elements[index - 1], elements[index]
    if index and before.page != element.page:
        return PAGE
    if rule.strategy == "sliding-window":
        return ELEMENT
    if index and before.kind == "title":
        return AFTER_HEADING
    return HEADING + DEEPEST - min(element.depth, DEEPEST) if element.kind == "title" else ELEMENT


def _sections(elements: Sequence[Element]) -> list[tuple[str, ...]]:
    """For each element, the headings above it, outermost first; a heading counts as above itself."""
    path: list[tuple[int, str]] = []
    section: tuple[str, ...] = ()
    found = []
    for element in elements:
        if element.kind == "title":
            path = [above for above in path if above[0] < element.depth] + [(element.depth, element.text)]
            section = tuple(heading for _, heading in path)
        found.append(section)
    return found


def _common(elements: Sequence[Element], sections: Sequence[tuple[str, ...]], first: int, last: int) -> tuple[str, ...]:
    """The headings above everything between two elements."""
    inside = range(first, last + 1)
    bodies = {sections[index] for index in inside if elements[index].kind != "title"} or {sections[last]}
    return tuple(_shared(bodies))


def _shared(paths: set[tuple[str, ...]]) -> Iterator[str]:
    for level in zip(*paths, strict=False):
        if len(set(level)) > 1:
            return
        yield level[0]


def _overlapping(text: str, start: int, floor: int, overlap_chars: int) -> int:
    """Up to `overlap_chars` before `start`, at the beginning of a word."""
    earliest = max(floor, start - overlap_chars)
    if earliest in {floor, start}:
        return earliest
    return next((n for n in range(earliest, start) if text[n - 1].isspace() and not text[n].isspace()), start)
