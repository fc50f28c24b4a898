"""Glimpses: what each of many questions was shown of a document that changes meanwhile, and whether that was whole."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from schemas import AnswerCompleted, AnswerRefused, PassagesRetrieved, decode
from streams.runtime.headers import Incoming
from streams.runtime.records import Record
from streams.topics import ANSWERS, CANDIDATES
from tests.chaos.checker import Document
from tests.chaos.ledger import Entry, Ledger, Published, Received
from tests.chaos.workload import marks_in

Versions = Mapping[Document, Mapping[int, frozenset[str]]]
"""The marks of every version that was published."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One that was asked about a document which has a receipt."""

    query: str
    document: Document
    floor: int
    """The newest version whose receipt had arrived before."""
    alone: bool
    """It looks in this document only, so that it is shown all of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Glimpse:
    """Marks that a question was shown, by document: in the order of the passages, repeated as they are."""

    query: str
    where: str
    shown: Mapping[str, Sequence[str]]
    whole: bool
    """All that the search found; or what an answer quotes of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """What must not be: in words, one for each glimpse and document."""

    empty: tuple[str, ...] = ()
    """Nothing of a document that has a version at every moment."""
    mixed: tuple[str, ...] = ()
    """Marks that no version has together, or one of them twice, or only a part of a version where all was asked for."""
    stale: tuple[str, ...] = ()
    """Only versions below the one whose receipt had arrived."""


class Newest:
    """The newest version of each document that was published, and that has a receipt; reads a ledger as it grows."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._read = 0
        self.published: dict[Document, int] = {}
        self.received: dict[Document, int] = {}

    def read(self) -> None:
        entries = self._ledger.entries[self._read :]
        self._read += len(entries)
        for entry in entries:
            match entry:
                case Published():
                    self.published[entry.tenant, entry.document] = entry.version
                case Received():
                    self.received[entry.tenant, entry.document] = entry.version
                case _:
                    pass


def glimpse(record: Record, prefix: str) -> Glimpse | None:
    """What a record of the candidates or the answers shows; nothing for a piece of an answer, or a failure."""
    topic = record.topic.removeprefix(prefix)
    known = CANDIDATES.events if topic == CANDIDATES.name else ANSWERS.events
    match decode(record.value, Incoming.of(record.headers).ce_type, known):
        case PassagesRetrieved(query=query, passages=passages):
            pieces = ((each.document_id, each.text) for each in passages)
            return Glimpse(query=query.query_id, where="search", shown=_shown(pieces), whole=True)
        case AnswerCompleted(query_id=query_id, citations=citations):
            pieces = ((each.document_id, each.quote) for each in citations)
            return Glimpse(query=query_id, where="answer", shown=_shown(pieces), whole=False)
        case AnswerRefused(query_id=query_id, considered=considered):
            pieces = ((each.document_id, each.text) for each in considered)
            return Glimpse(query=query_id, where="refusal", shown=_shown(pieces), whole=False)
        case _:
            return None


def _shown(pieces: Iterable[tuple[str, str]]) -> Mapping[str, Sequence[str]]:
    shown: dict[str, list[str]] = defaultdict(list)
    for document, text in pieces:
        shown[document] += marks_in(text)
    return shown


def versions(entries: Iterable[Entry]) -> Versions:
    published: dict[Document, dict[int, frozenset[str]]] = defaultdict(dict)
    for entry in entries:
        if isinstance(entry, Published):
            published[entry.tenant, entry.document][entry.version] = frozenset(entry.marks)
    return published


def judged(questions: Mapping[str, Question], glimpses: Iterable[Glimpse], published: Versions) -> Faults:
    """All that is wrong with what the questions were shown."""
    empty: list[str] = []
    mixed: list[str] = []
    stale: list[str] = []
    for seen in glimpses:
        question = questions[seen.query]
        tenant, about = question.document
        exact = seen.whole and question.alone
        if exact and not seen.shown.get(about):
            empty.append(f"{seen.where} {seen.query}: nothing of {about}")
        for document, marks in seen.shown.items():
            name = f"{seen.where} {seen.query}: {tenant}/{document}"
            fitting = _fitting(marks, published.get((tenant, document), {}), exact=exact)
            if marks and not fitting:
                mixed.append(f"{name} shows {sorted(marks)}")
            elif marks and document == about and max(fitting) < question.floor:
                stale.append(f"{name} shows version {max(fitting)}, the receipt of {question.floor} had come")
    return Faults(empty=tuple(empty), mixed=tuple(mixed), stale=tuple(stale))


def _fitting(marks: Sequence[str], published: Mapping[int, frozenset[str]], *, exact: bool) -> Sequence[int]:
    """The versions that these marks may be of."""
    if exact and max(Counter(marks).values(), default=0) > 1:
        return ()
    found = set(marks)
    return [
        version for version, all_marks in published.items() if (found == all_marks if exact else found <= all_marks)
    ]
