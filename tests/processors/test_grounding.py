from dataclasses import replace

import pytest

from processors.grounding import Piece, confidence, quoted, supported, unsupported
from tests.processors.models import TOWER, evidence, passage


def test_a_quote_is_cited_where_it_stands_in_the_document_and_in_the_answer() -> None:
    quote = "It was built from 1887 to 1889 by the engineers of Gustave Eiffel."
    answer = f"First. {quote}"
    [citation] = quoted([Piece(len("First. "), quote, 0)], evidence())
    assert TOWER[citation.start - 1000 : citation.end - 1000] == quote == citation.quote
    assert answer[citation.answer_start : citation.answer_end] == quote


def test_each_sentence_of_a_written_answer_is_matched_to_the_evidence() -> None:
    answer = "The engineers of Eiffel built it in 1889. Refunds take 14 days. Bananas grow in Iceland."
    citations = supported(answer, evidence())
    assert [citation.document_id for citation in citations] == ["doc-0", "doc-1"]
    assert citations[0].quote.startswith("It was built from 1887")
    assert answer[citations[1].answer_start : citations[1].answer_end] == "Refunds take 14 days."
    assert all(citation.quote in passage.text for citation, passage in zip(citations, evidence(), strict=False))


def test_an_answer_that_is_half_invented_is_cited_for_what_stands_in_the_evidence() -> None:
    answer = "Gustave Eiffel and his engineers built it from 1887 to 1889, and Iceland paid for gardens."
    [citation] = supported(answer, evidence())
    assert citation.quote.startswith("It was built from 1887")
    assert 0 < confidence(answer, [citation], (), 1.0) < 0.8


def test_the_title_of_a_document_supports_nothing() -> None:
    mail = passage(
        "Failure in the night of 14 March\n\nA marten bridged two phases.", title="Failure in the night of 14 March"
    )
    assert supported("The failure in the night of 14 March came from a fire.", [mail]) == ()


@pytest.mark.parametrize(
    ("answer", "strange"),
    [
        ("It was built by Gustave Eiffel in 1889.", ()),
        ("It was built by Leon Foucault in 1890.", ("Leon", "Foucault", "1890")),
        ("Refunds are paid within 14.0 days.", ()),
        ("Additionally, refunds are slow.", ()),
        ("NASA built it.", ("NASA",)),
        ("About 7,000 people climb it, and 7,000 more.", ("7,000",)),
        ("Paris's tower is there.", ()),
        ("", ()),
    ],
)
def test_names_and_numbers_that_are_not_in_the_evidence_are_told(answer: str, strange: tuple[str, ...]) -> None:
    assert unsupported(answer, evidence()) == strange


def test_titles_and_sections_are_evidence_too() -> None:
    [first, *_] = evidence()
    assert unsupported("It is in Montmartre.", [replace(first, section=("Montmartre",))]) == ()


def test_confidence_falls_with_what_is_uncited_and_unsupported() -> None:
    answer = "Refunds take 14 days. Bananas grow in Iceland."
    cited = supported(answer, evidence())
    verbatim, reworded = "Refunds are paid within 14 days.", "Refunds take 14 days."
    assert confidence(verbatim, supported(verbatim, evidence()), (), 0.8) == 0.8
    assert 0.4 <= confidence(reworded, supported(reworded, evidence()), (), 0.8) < 0.8
    assert 0 < confidence(answer, cited, (), 0.8) < 0.8
    assert confidence(answer, cited, ("Iceland",), 0.8) == pytest.approx(
        confidence(answer, cited, (), 0.8) / 2, abs=1e-3
    )
    assert confidence("", (), (), 0.8) == 0
