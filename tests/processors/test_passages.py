"""Passages: slices of the text, cut where its structure says, unmoved by edits elsewhere."""

import random
from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processors.chunking import TECHNICAL, ChunkingRule, ChunkingRules
from processors.passages import SEPARATOR, passages
from processors.ports import Element
from schemas import text_hash

RECURSIVE = ChunkingRule(strategy="recursive", min_chars=500, max_chars=800)
WINDOW = ChunkingRule(strategy="sliding-window", min_chars=500, max_chars=800, overlap_chars=100)
SMALL = ChunkingRule(min_chars=20, max_chars=40)
WORDS = [
    f"{a}{b}{c}" for a in ("ve", "to", "mi", "rad", "gal") for b in ("la", "no", "ri") for c in ("", "n", "s", "t")
]


class Writer:
    """Writes the same nonsense for the same seed."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def sentence(self) -> str:
        return " ".join(self.random.choices(WORDS, k=self.random.randint(6, 22))).capitalize() + "."

    def paragraph(self) -> Element:
        return Element(kind="text", text=" ".join(self.sentence() for _ in range(self.random.randint(1, 8))))

    def lines(self, count: int) -> list[Element]:
        return [Element(kind="text", text="\n".join(self.sentence() for _ in range(count)))]

    def rows(self, count: int) -> list[Element]:
        rows = (f"Part: {self.sentence()}; Shelf: {self.random.randint(1, 99)}" for _ in range(count))
        return [Element(kind="table", text="\n".join(rows))]

    def sections(self, count: int) -> list[Element]:
        elements = []
        for _ in range(count):
            elements.append(Element(kind="title", text=self.sentence()[:40], depth=self.random.randint(0, 3)))
            elements += [self.paragraph() for _ in range(self.random.randint(1, 6))]
        return elements


def texts(elements: Sequence[Element], rule: ChunkingRule) -> list[str]:
    return [passage.text for passage in passages(elements, rule)]


def with_line(elements: Sequence[Element], at: float, edit: str) -> list[Element]:
    """The document with one line of its text changed, inserted or deleted; `at` runs from 0 to 1."""
    lines = [(element, line) for element in elements for line in element.text.split("\n")]
    place = min(int(at * len(lines)), len(lines) - 1)
    element, _ = lines[place]
    new = Element(kind=element.kind, text=f"A new line in place {place}.", depth=element.depth)
    changed: list[tuple[Element, str]] = [] if edit == "delete" else [(new if len(elements) > 1 else element, new.text)]
    lines[place : place + (edit != "insert")] = changed
    if len(elements) == 1:
        return [Element(kind=element.kind, text="\n".join(text for _, text in lines))]
    return [Element(kind=owner.kind, text=text, depth=owner.depth) for owner, text in lines]


@pytest.mark.parametrize("rule", [TECHNICAL, RECURSIVE, WINDOW])
@pytest.mark.parametrize("form", ["sections", "lines", "rows", "paragraphs"])
def test_an_edited_line_of_a_thousand_chunks_changes_three_at_most(rule: ChunkingRule, form: str) -> None:
    writer = Writer(3)
    document = {
        "sections": lambda: writer.sections(500),
        "lines": lambda: writer.lines(6_500),
        "rows": lambda: writer.rows(6_500),
        "paragraphs": lambda: [writer.paragraph() for _ in range(1_450)],
    }[form]()
    before = {text_hash(text) for text in texts(document, rule)}
    assert len(before) > 900
    for at, edit in (
        (0.0, "insert"),
        (0.0, "change"),
        (0.0, "delete"),
        (0.3, "insert"),
        (0.6, "change"),
        (1.0, "delete"),
    ):
        after = texts(with_line(document, at, edit), rule)
        assert len({text_hash(text) for text in after} - before) <= 3


@pytest.mark.parametrize("rule", [TECHNICAL, RECURSIVE])
def test_edits_anywhere_change_less_than_two_chunks_on_average(rule: ChunkingRule) -> None:
    """One edit in a hundred changes a fourth: boundaries follow hashes, and those have a tail."""
    document = Writer(5).lines(700)
    before = set(texts(document, rule))
    changed = [
        len(set(texts(with_line(document, place / 60, edit), rule)) - before)
        for place in range(60)
        for edit in ("change", "insert", "delete")
    ]
    assert sum(changed) / len(changed) < 2
    assert sum(count > 3 for count in changed) / len(changed) <= 0.03
    assert max(changed) <= 6


@settings(max_examples=150)
@given(
    st.lists(
        st.builds(
            Element,
            kind=st.sampled_from(["title", "text", "list-item", "table", "code"]),
            text=st.text(max_size=300).filter(lambda text: bool(text.strip())),
            page=st.sampled_from([None, 1, 2]),
            depth=st.integers(0, 12),
        ),
        min_size=1,
        max_size=12,
    ),
    st.sampled_from(["recursive", "by-title", "sliding-window"]),
    st.integers(0, 39),
)
def test_every_passage_is_a_slice_and_nothing_is_lost(elements: list[Element], strategy: str, overlap: int) -> None:
    rule = ChunkingRule(strategy=strategy, min_chars=20, max_chars=40, overlap_chars=overlap)  # type: ignore[arg-type]
    text = SEPARATOR.join(element.text for element in elements)
    found = passages(elements, rule)
    covered = bytearray(len(text))
    for number, passage in enumerate(found):
        assert passage.ordinal == number
        assert passage.text == text[passage.start : passage.end]
        assert passage.text.strip() == passage.text != ""
        assert len(passage.text) <= 40 + overlap
        assert passage.text_hash == text_hash(passage.text)
        covered[passage.start : passage.end] = bytes([1]) * len(passage.text)
    assert all(covered[place] or char.isspace() for place, char in enumerate(text))
    assert found == passages(elements, rule)


def test_most_passages_are_of_the_asked_size_and_neighbours_of_short_ones_are_full() -> None:
    sizes = [len(text) for text in texts([Writer(9).paragraph() for _ in range(600)], RECURSIVE)]
    assert max(sizes) <= 800
    assert sum(sizes) / len(sizes) > 500
    assert all(left + len(SEPARATOR) + right > 800 for left, right in pairwise(sizes))


def test_sections_stay_apart_unless_one_is_short() -> None:
    def section(name: str, size: int) -> list[Element]:
        return [Element(kind="title", text=name), Element(kind="text", text="x" * size)]

    apart = passages(section("One", 25) + section("Two", 25), SMALL)
    assert [passage.section for passage in apart] == [("One",), ("Two",)]
    joined = passages(section("One", 5) + section("Two", 5), SMALL)
    assert [passage.text for passage in joined] == ["One\n\nxxxxx\n\nTwo\n\nxxxxx"]


def test_the_section_is_what_stands_above_all_of_a_passage() -> None:
    elements = [
        Element(kind="title", text="Book", depth=0),
        Element(kind="title", text="A", depth=1),
        Element(kind="text", text="a"),
        Element(kind="title", text="B", depth=1),
        Element(kind="text", text="b"),
        Element(kind="title", text="C", depth=1),
        Element(kind="text", text="c" * 40),
    ]
    assert [passage.section for passage in passages(elements, SMALL)] == [("Book",), ("Book", "C"), ("Book", "C")]


def test_a_heading_begins_a_passage_and_never_ends_one() -> None:
    elements = Writer(2).sections(80)
    headings = {element.text for element in elements if element.kind == "title"}
    for text in texts(elements, TECHNICAL):
        assert text.rsplit(SEPARATOR, 1)[-1] not in headings


def test_a_passage_has_one_page() -> None:
    elements = [Element(kind="text", text=f"page {number}", page=number) for number in (1, 1, 2, 3)]
    assert [(p.page, p.text) for p in passages(elements, SMALL)] == [
        (1, "page 1\n\npage 1"),
        (2, "page 2"),
        (3, "page 3"),
    ]


@pytest.mark.parametrize("text", ["a" * 100_000, "ab" * 50_000, "望遠鏡" * 30_000, "1\u0301" * 40_000])
def test_unbroken_text_is_cut_between_characters(text: str) -> None:
    found = texts([Element(kind="text", text=text)], TECHNICAL)
    assert "".join(found) == text
    assert max(map(len, found)) <= 800
    assert not any(part.startswith("\u0301") for part in found)


def test_a_family_of_emoji_stays_together() -> None:
    family = "\U0001f469\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466"
    assert all(
        part.startswith("\U0001f469") and len(part) % 7 == 0
        for part in texts([Element(kind="text", text=family * 999)], TECHNICAL)
    )


def test_overlap_repeats_the_words_before() -> None:
    text = " ".join(f"word{number}" for number in range(60))
    found = passages([Element(kind="text", text=text)], ChunkingRule(min_chars=50, max_chars=80, overlap_chars=20))
    for left, right in pairwise(found):
        assert 0 < left.end - right.start <= 20
        assert right.text.startswith("word")


def test_the_documents_own_profile_comes_before_its_media_types() -> None:
    rules = ChunkingRules()
    assert rules.rule(media_type="text/csv", profile=None).max_chars == 800
    assert rules.rule(media_type="text/plain", profile=None).max_chars == 1_200
    assert rules.rule(media_type="text/csv", profile="legal").max_chars == 1_500


def test_settings_add_to_the_default_rules() -> None:
    rules = ChunkingRules(profiles={"legal": SMALL}, media_types={"text/html": "legal"})
    assert rules.rule(media_type="text/html; charset=utf-8", profile=None) == SMALL
    assert rules.rule(media_type="text/markdown", profile=None) == TECHNICAL


def test_a_media_type_may_have_a_rule_of_its_own() -> None:
    rules = ChunkingRules(rules={"text/html": WINDOW})
    assert rules.rule(media_type="text/html", profile=None) == WINDOW
    assert rules.rule(media_type="text/html", profile="legal").max_chars == 1_500


@pytest.mark.parametrize("sizes", [(0, 10, 0), (20, 10, 0), (5, 10, 10)])
def test_sizes_that_cannot_be_are_refused(sizes: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="min_chars"):
        ChunkingRule(min_chars=sizes[0], max_chars=sizes[1], overlap_chars=sizes[2])
