"""How a document's text is cut into chunks."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

from processors.boundaries import LINE, SENTENCE, WORD, Cuts, trimmed
from processors.ports import Element
from schemas import Chunk, Profile, text_hash

SEPARATOR = "\n\n"
"""Stands between the elements of a document's extracted text, into which all offsets point."""

Strategy = Literal["recursive", "by-title", "sliding-window"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkingRule:
    """Sizes in characters, counted before any overlap."""

    strategy: Strategy = "by-title"
    min_chars: int
    """A chunk below this takes in its neighbour where the structure allows."""
    max_chars: int
    overlap_chars: int = 0


TECHNICAL = ChunkingRule(min_chars=500, max_chars=800)
GENERAL = ChunkingRule(min_chars=800, max_chars=1_200)
LEGAL = ChunkingRule(min_chars=1_000, max_chars=1_500)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkingRules:
    """Which rule applies: the document's own profile, else its media type's, else `general`."""

    profiles: dict[Profile, ChunkingRule] = field(
        default_factory=lambda: {"technical": TECHNICAL, "general": GENERAL, "legal": LEGAL}
    )
    media_types: dict[str, Profile] = field(
        default_factory=lambda: {
            "application/json": "technical",
            "text/csv": "technical",
            "text/markdown": "technical",
        }
    )

    def rule(self, *, media_type: str, profile: Profile | None) -> ChunkingRule:
        return self.profiles[profile or self.media_types.get(media_type, "general")]


def chunks(elements: Sequence[Element], rule: ChunkingRule) -> list[Chunk]:
    """The document's passages in order; each is a slice of its extracted text, `SEPARATOR.join` of all elements."""
    text, starts = _extracted(elements)
    cuts = Cuts(text, min_chars=rule.min_chars, max_chars=rule.max_chars)
    bodies = [n for n, _ in enumerate(elements) if n and elements[n - 1].kind != "title"]
    if rule.strategy != "sliding-window":
        headings = [n for n in bodies if elements[n].kind == "title"]
        for depth in sorted({elements[n].depth for n in headings}):
            places = [starts[n] for n in headings if elements[n].depth == depth]
            if rule.strategy == "by-title":
                cuts.sections(places)
            cuts.places(places)
    cuts.places(starts[n] for n in bodies)
    for pattern in (LINE, SENTENCE, WORD):
        cuts.inside(pattern)
    cuts.anywhere()
    return list(_passages(text, elements, starts, cuts, rule))


def _extracted(elements: Sequence[Element]) -> tuple[str, list[int]]:
    starts, position = [], 0
    for element in elements:
        starts.append(position)
        position += len(element.text) + len(SEPARATOR)
    return SEPARATOR.join(element.text for element in elements), starts


def _passages(
    text: str, elements: Sequence[Element], starts: Sequence[int], cuts: Cuts, rule: ChunkingRule
) -> Iterator[Chunk]:
    path: list[tuple[int, str]] = []
    seen = 0
    for ordinal, (start, end) in enumerate(trimmed(text, cuts.offsets)):
        while seen < len(elements) and starts[seen] <= start:
            if elements[seen].kind == "title":
                while path and path[-1][0] >= elements[seen].depth:
                    path.pop()
                path.append((elements[seen].depth, elements[seen].text))
            seen += 1
        page = elements[seen - 1].page
        first = max(0, start - rule.overlap_chars) if ordinal else start
        yield Chunk(
            ordinal=ordinal,
            text=text[first:end],
            text_hash=text_hash(text[first:end]),
            page=page,
            section=tuple(heading for _, heading in path),
            start=first,
            end=end,
        )
