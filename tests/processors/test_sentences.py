from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.sentences import MAX_SENTENCE_CHARS, sentences


def split(text: str) -> list[str]:
    return [sentence.text for sentence in sentences(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("It rains. It pours! Does it? Yes.", ["It rains.", "It pours!", "Does it?", "Yes."]),
        (
            "Dr. Smith met J. R. Tolkien, i.e. a writer. He left.",
            ["Dr. Smith met J. R. Tolkien, i.e. a writer.", "He left."],
        ),
        ("It costs 3.50 EUR. See Fig. 3 and No. 7.", ["It costs 3.50 EUR.", "See Fig. 3 and No. 7."]),
        ('He said "Go." Then he went.', ['He said "Go."', "Then he went."]),
        ("Wait... what? It ends.", ["Wait... what?", "It ends."]),
        ("Refund policy\nWe refund within 14 days.", ["Refund policy", "We refund within 14 days."]),
        ("- first item\n- second item\n1. third item", ["- first item", "- second item", "1. third item"]),
        ("| name | size |\n| pump | 3.5 |", ["| name | size |", "| pump | 3.5 |"]),
        (
            f"Part: Pump; Remark: {'long ' * 20}\nPart: Seal; Stock: 8",
            [f"Part: Pump; Remark: {'long ' * 19}long", "Part: Seal; Stock: 8"],
        ),
        ("lowest altitude: 15\nhighest altitude: 88.5", ["lowest altitude: 15", "highest altitude: 88.5"]),
        ("the wheel holds\nthree filters: u, g and r.", ["the wheel holds\nthree filters: u, g and r."]),
        ("# Title\n\nBody text here.\n\n\n---\n", ["# Title", "Body text here."]),
        (
            "\u6771\u4eac\u3067\u3059\u3002\u5927\u962a\u3067\u3059\u3002",
            ["\u6771\u4eac\u3067\u3059\u3002", "\u5927\u962a\u3067\u3059\u3002"],
        ),
        ("", []),
        (" \n\t\n", []),
        ("no end", ["no end"]),
    ],
)
def test_text_is_split_where_a_reader_would(text: str, expected: list[str]) -> None:
    assert split(text) == expected


def test_a_hard_wrapped_paragraph_is_not_split_at_its_lines() -> None:
    text = "The tower was built from 1887 on, in the middle of the city, by\nGustave Eiffel. It was finished later."
    assert len(split(text)) == 2


def test_text_without_punctuation_is_cut_between_words() -> None:
    parts = split("word " * 1000)
    assert all(len(part) <= MAX_SENTENCE_CHARS for part in parts)
    assert " ".join(parts) == ("word " * 1000).strip()


@given(st.text(alphabet=st.sampled_from("aB1. \n!?|-#\u3002\u00e9\"'("), max_size=300))
def test_offsets_are_exact_in_order_and_lose_no_letter(text: str) -> None:
    found = sentences(text)
    assert all(text[part.start : part.end] == part.text for part in found)
    assert all(before.end <= after.start for before, after in pairwise(found))
    assert sum(letter.isalnum() for letter in text) == sum(letter.isalnum() for part in found for letter in part.text)
