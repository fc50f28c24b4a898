"""The rules by which a document's text is cut into chunks."""

from dataclasses import dataclass, field
from typing import Final, Literal

from schemas import Profile

Strategy = Literal["recursive", "by-title", "sliding-window"]
"""by-title: sections stay apart unless one is short; recursive: headings are the last places to be joined across;
sliding-window: headings count as paragraphs. `overlap_chars` goes with any of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkingRule:
    """Sizes in characters, counted before any overlap."""

    strategy: Strategy = "by-title"
    min_chars: int
    """A chunk below this takes in its neighbour where the structure allows."""
    max_chars: int
    overlap_chars: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.min_chars <= self.max_chars or not 0 <= self.overlap_chars < self.max_chars:
            raise ValueError(f"{self}: needs 0 < min_chars <= max_chars and 0 <= overlap_chars < max_chars")


TECHNICAL = ChunkingRule(min_chars=500, max_chars=800)
GENERAL = ChunkingRule(min_chars=800, max_chars=1_200)
LEGAL = ChunkingRule(min_chars=1_000, max_chars=1_500)


PROFILES: Final[dict[Profile, ChunkingRule]] = {"technical": TECHNICAL, "general": GENERAL, "legal": LEGAL}
MEDIA_TYPES: Final[dict[str, Profile]] = {
    "application/json": "technical",
    "text/csv": "technical",
    "text/markdown": "technical",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkingRules:
    """Which rule applies: the document's own profile, else its media type's, else `general`.

    What is given here is added to the defaults.
    """

    profiles: dict[Profile, ChunkingRule] = field(default_factory=dict)
    media_types: dict[str, Profile] = field(default_factory=dict)
    rules: dict[str, ChunkingRule] = field(default_factory=dict)
    """For a media type a rule of its own, instead of a profile."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "profiles", PROFILES | self.profiles)
        object.__setattr__(self, "media_types", MEDIA_TYPES | self.media_types)

    def rule(self, *, media_type: str, profile: Profile | None) -> ChunkingRule:
        bare = media_type.partition(";")[0].strip().lower()
        if profile is None and bare in self.rules:
            return self.rules[bare]
        return self.profiles[profile or self.media_types.get(bare, "general")]
