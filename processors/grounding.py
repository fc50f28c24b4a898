"""How far an answer is backed by the evidence: citations, unsupported names and numbers, confidence."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from processors.sentences import Sentence, sentences
from processors.words import STOPWORDS, WORD, normal, stems, words
from schemas import Citation, Passage

CITED_SHARE = 0.5
"""Share of the words of an answer's sentence that a quote must hold to support it."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of an answer that was quoted from a passage."""

    start: int
    """Offset of the quote in the answer."""
    quote: str
    passage: int


def quoted(pieces: Iterable[Piece], passages: Sequence[Passage]) -> tuple[Citation, ...]:
    """Where the pieces of an extractive answer stand in their documents."""
    citations = []
    for piece in pieces:
        passage = passages[piece.passage]
        offset = passage.text.index(piece.quote)
        end = piece.start + len(piece.quote)
        citations.append(_citation(passage, offset, piece.quote, piece.start, end))
    return tuple(citations)


def supported(answer: str, passages: Sequence[Passage]) -> tuple[Citation, ...]:
    """For each sentence of a written answer, the sentence of the evidence that says the same, where one does."""
    evidence = [
        (passage, found)
        for passage in passages
        for found in sentences(passage.text)
        if found.text not in (passage.title, *passage.section)
    ]
    citations = []
    for claim in sentences(answer):
        best = max(evidence, key=lambda one: _share(claim.text, one[1].text), default=None)
        if best and _share(claim.text, best[1].text) >= CITED_SHARE:
            citations.append(_citation(best[0], best[1].start, best[1].text, claim.start, claim.end))
    return tuple(citations)


def unsupported(answer: str, passages: Sequence[Passage]) -> tuple[str, ...]:
    """Names and numbers in an answer that occur nowhere in the evidence, in order, each once."""
    evidence = {word for passage in passages for text in _readable(passage) for word in words(text)}
    found = {name: None for claim in sentences(answer) for name in _names(claim) if normal(name) not in evidence}
    return tuple(found)


def confidence(answer: str, citations: Sequence[Citation], strange: Sequence[str], evidence: float) -> float:
    """How far to trust an answer, 0 to 1.

    `evidence` is the probability that the best passage holds the answer. An answer made of quotes keeps it. A written
    answer keeps the share of its text whose words stand in the quotes that are cited for it, and half of the rest for
    each name or number that is not in the evidence.
    """
    cited = sum(
        (one.answer_end - one.answer_start) * _share(answer[one.answer_start : one.answer_end], one.quote)
        for one in citations
    )
    claimed = sum(len(claim.text) for claim in sentences(answer))
    share = min(1.0, cited / claimed) if claimed else 0.0
    return float(round(evidence * share * 0.5 ** len(strange), 4))


def _citation(passage: Passage, offset: int, quote: str, answer_start: int, answer_end: int) -> Citation:
    return Citation(
        document_id=passage.document_id,
        version=passage.version,
        title=passage.title,
        ordinal=passage.ordinal,
        page=passage.page,
        section=passage.section,
        quote=quote,
        start=passage.start + offset,
        end=passage.start + offset + len(quote),
        answer_start=answer_start,
        answer_end=answer_end,
    )


def _readable(passage: Passage) -> tuple[str, ...]:
    return (passage.text, passage.title, *passage.section)


def _share(claim: str, quote: str) -> float:
    """How much of what a sentence says, in words, stands in a quote."""
    if claim in quote:
        return 1.0
    said = stems(claim)
    return len(said & stems(quote)) / len(said) if said else 0.0


def _names(claim: Sentence) -> Iterable[str]:
    spelled = [match.group() for match in WORD.finditer(claim.text)]
    for place, word in enumerate(spelled):
        if normal(word) in STOPWORDS or word == "I":
            continue
        inner = any(letter.isupper() or letter.isdigit() for letter in word[1:])
        # The first word of a sentence is a name only if its spelling or the word after it shows that.
        leads = place == 0 and not inner and not (len(spelled) > 1 and spelled[1][0].isupper())
        if word[0].isdigit() or inner or (word[0].isupper() and not leads):
            yield word
