"""However the pieces of an answer are cut, the reader gets the same: no reasoning and no repetition."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.backends.written import Written
from processors.errors import Poison


def shown(text: str, cuts: list[int]) -> tuple[str, bool]:
    """What is shown of a text that comes in pieces of these sizes, and whether the model was stopped."""
    written, parts, start = Written(), [], 0
    for size in [*cuts, len(text)]:
        parts.append(written.feed(text[start : start + size]))
        start += size
        if written.complete:
            break
    return "".join(parts) + written.end(), written.complete


pieces = st.lists(st.integers(1, 12), max_size=40)


@given(pieces)
def test_reasoning_and_repetition_are_left_out(cuts: list[int]) -> None:
    text = "\n<think>\n1887</th></think>\n\n It was built in 1889. It was built in 1889 by him. It was built in 1889. X"
    assert shown(text, cuts) == ("It was built in 1889. It was built in 1889 by him.", True)


@given(st.text(st.sampled_from("ab .\n<>/think1?"), max_size=80), pieces)
def test_what_neither_reasons_nor_repeats_comes_through_whole(text: str, cuts: list[int]) -> None:
    if "<think>" in text:
        return
    said, stopped = shown(text, cuts)
    assert stopped or said == text.strip()
    assert text.strip().startswith(said)


@pytest.mark.parametrize(
    "text",
    [
        "Yes. It was. Yes. It was. Yes.",
        "- none\n- none\n- none",
        "Refunds are paid within 14 days. Refunds are paid within 14 days when the order is complete.",
        "It writes <think> before it thinks and </think> after it.",
        "a < b",
        "<thin ice>",
        "<thi",
    ],
)
def test_short_sentences_may_come_again_and_tags_may_be_spoken_of(text: str) -> None:
    assert shown(text, [1] * len(text)) == (text, False)


def test_a_repetition_that_ends_the_answer_is_left_out() -> None:
    assert shown("It was built in 1889. It was built in 1889.", [5] * 9) == ("It was built in 1889.", True)


def test_nothing_but_reasoning_is_no_answer() -> None:
    with pytest.raises(Poison, match="no-answer"):
        shown("<think>It was built", [3])
    assert shown("", []) == ("", False)


@pytest.mark.parametrize(("text", "unmarked"), [("Hm.\n</think>\nIn 1889.", True), ("a </think> tag", False)])
def test_an_end_of_reasoning_without_a_beginning_is_told(text: str, unmarked: bool) -> None:
    written = Written()
    for letter in text:
        written.feed(letter)
    assert written.unmarked is unmarked
