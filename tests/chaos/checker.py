"""The checker: from a ledger and what the index shows, by set algebra alone, whether a promise was broken."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields

from tests.chaos.ledger import Address, Answered, Asked, Buried, Entry, Published, Received

Document = tuple[str, str]
"""Tenant and document."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Visible:
    """A passage that a search shows."""

    tenant: str
    document: str
    version: int
    """The version whose rows these are: below the document's where a newer version changed nothing."""
    ordinal: int
    marks: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Dump:
    """What the index shows after everything has come to rest."""

    passages: tuple[Visible, ...]
    heads: Mapping[Document, int]
    """The version that each document has, deleted documents left out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Every broken promise, in words; all empty: none."""

    lost: tuple[str, ...] = ()
    """Was acknowledged and cannot be found."""
    duplicated: tuple[str, ...] = ()
    """Can be found more than once, or in two versions."""
    stale: tuple[str, ...] = ()
    """Was superseded or deleted and can still be found."""
    out_of_order: tuple[str, ...] = ()
    """Documents whose receipts came for a later version first."""
    unanswered: tuple[str, ...] = ()
    """Document events without a receipt, questions without a final event."""
    answered_twice: tuple[str, ...] = ()
    """More than one receipt or final event without a redelivery that explains it."""
    unexpected: tuple[str, ...] = ()
    """Rejected or put aside without being poison; poison that was indexed; what was finished and never committed."""

    @property
    def clean(self) -> bool:
        return not any(getattr(self, field.name) for field in fields(self))

    @property
    def counts(self) -> Mapping[str, int]:
        return {field.name: len(getattr(self, field.name)) for field in fields(self)}

    def __str__(self) -> str:
        said = [f"{field.name}: {', '.join(getattr(self, field.name)[:5])}" for field in fields(self)]
        return f"{dict(self.counts)}\n" + "\n".join(line for line in said if not line.endswith(": "))


def check(entries: Sequence[Entry], dump: Dump, *, redelivery: bool = True) -> Verdict:
    """The verdict on a run that has come to rest.

    `redelivery`: whether a fault struck after which Kafka delivers records again. Only then may a receipt or a final
    event come again; the first one counts, see docs/wire.md.
    """
    lost, duplicated, stale = _contents(entries, dump)
    return Verdict(
        lost=lost,
        duplicated=duplicated,
        stale=stale,
        out_of_order=_out_of_order(entries),
        unanswered=unanswered(entries),
        answered_twice=() if redelivery else answered_twice(entries),
        unexpected=_unexpected(entries),
    )


def unanswered(entries: Iterable[Entry]) -> tuple[str, ...]:
    """What was acknowledged by the broker and by nobody else."""
    waiting: dict[object, str] = {}
    for entry in entries:
        match entry:
            case Published(acknowledged=True):
                waiting[entry.address] = _named(entry)
            case Asked(acknowledged=True):
                waiting[entry.query] = f"query {entry.query}"
            case _:
                pass
    for entry in entries:
        match entry:
            case Received():
                waiting.pop(entry.address, None)
            case Answered():
                waiting.pop(entry.query, None)
            case _:
                pass
    return tuple(waiting.values())


def repeats(entries: Iterable[Entry]) -> int:
    """Receipts and final events that came again: no harm, but the price of a fault."""
    return sum(len(outcomes) - 1 for outcomes in _said(entries).values())


def changed(entries: Iterable[Entry]) -> int:
    """Questions of which a repeated final event says something else: they were searched again in a changed index."""
    questions = {entry.query for entry in entries if isinstance(entry, Asked)}
    return sum(about in questions and len(set(outcomes)) > 1 for about, outcomes in _said(entries).items())


def answered_twice(entries: Iterable[Entry]) -> tuple[str, ...]:
    """What was said of each of which more than once something was said."""
    return tuple(f"{about}: {outcomes}" for about, outcomes in _said(entries).items() if len(outcomes) > 1)


def _contents(entries: Iterable[Entry], dump: Dump) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    """What is lost, duplicated and stale in the index."""
    shown: dict[Document, list[Visible]] = defaultdict(list)
    for passage in dump.passages:
        shown[passage.tenant, passage.document].append(passage)
    wanted = _allowed(entries)
    lost: list[str] = []
    duplicated: list[str] = []
    stale: list[str] = []
    for document in sorted(wanted.keys() | shown.keys() | dump.heads.keys()):
        allowed = wanted.get(document, ())
        compared = [_compared(document, each, shown[document], dump.heads.get(document)) for each in allowed or (None,)]
        best = next((one for one in compared if not any(one)), compared[0])
        lost += best[0]
        duplicated += best[1]
        stale += best[2]
    return tuple(lost), tuple(duplicated), tuple(stale)


def _allowed(entries: Iterable[Entry]) -> Mapping[Document, Sequence[Published | None]]:
    """What each document may look like: its newest acknowledged version, or a newer one that may have arrived."""
    good: dict[Document, list[Published]] = defaultdict(list)
    for entry in entries:
        if isinstance(entry, Published) and not entry.poison:
            good[entry.tenant, entry.document].append(entry)
    allowed: dict[Document, Sequence[Published | None]] = {}
    for document, events in good.items():
        sure = max((event for event in events if event.acknowledged), key=lambda each: each.version, default=None)
        floor = sure.version if sure else 0
        maybe = [event for event in events if not event.acknowledged and event.version > floor]
        allowed[document] = [sure, *maybe]
    return allowed


def _compared(
    document: Document, wanted: Published | None, shown: Sequence[Visible], head: int | None
) -> tuple[list[str], list[str], list[str]]:
    name = "/".join(document)
    marks = Counter(mark for passage in shown for mark in passage.marks)
    expected = set(wanted.marks) if wanted else set()
    lost = [f"{name}: {mark}" for mark in sorted(expected - marks.keys())]
    duplicated = [f"{name}: {mark} {times} times" for mark, times in sorted(marks.items()) if times > 1]
    stale = [f"{name}: {mark}" for mark in sorted(marks.keys() - expected)]
    if len(versions := sorted({passage.version for passage in shown})) > 1:
        duplicated.append(f"{name}: versions {versions} at once")
    if head is not None and wanted is not None and expected and head < wanted.version:
        stale.append(f"{name}: version {head}, the newest is {wanted.version}")
    if head is not None and not expected:
        stale.append(f"{name}: version {head}, though it is deleted or was never published")
    if head is None and expected:
        lost.append(f"{name}: no head")
    return lost, duplicated, stale


def _out_of_order(entries: Iterable[Entry]) -> tuple[str, ...]:
    """Documents whose first receipts do not come in the order of their publication.

    A rejection changes nothing and is told where it is found, so it may overtake the versions still under way.
    """
    order: dict[Document, dict[Address, int]] = defaultdict(dict)
    first: dict[Document, dict[Address, None]] = defaultdict(dict)
    for entry in entries:
        if isinstance(entry, Published):
            places = order[entry.tenant, entry.document]
            places.setdefault(entry.address, len(places))
        elif isinstance(entry, Received) and entry.outcome != "rejected":
            first[entry.tenant, entry.document].setdefault(entry.address)
    return tuple(
        f"{'/'.join(document)}: {[address[2] for address in came]}"
        for document, came in first.items()
        if not _grows([order[document][address] for address in came if address in order[document]])
    )


def _grows(numbers: Sequence[int]) -> bool:
    return list(numbers) == sorted(numbers)


def _said(entries: Iterable[Entry]) -> Mapping[object, Sequence[str]]:
    """What was said of each event and question, as often as it was said."""
    said: dict[object, list[str]] = defaultdict(list)
    for entry in entries:
        if isinstance(entry, Received):
            said[entry.address].append(entry.outcome)
        elif isinstance(entry, Answered):
            said[entry.query].append(entry.outcome)
    return said


def _unexpected(entries: Sequence[Entry]) -> tuple[str, ...]:
    published = {entry.address: entry for entry in entries if isinstance(entry, Published)}
    poisonous = {f"{each.tenant}/{each.document}" for each in published.values() if each.poison}
    strange = []
    judged: set[Address] = set()
    for entry in entries:
        if isinstance(entry, Received) and entry.address not in judged:
            judged.add(entry.address)
            event = published.get(entry.address)
            # Superseded: a newer version was there already, where versions travel or are redelivered out of order.
            rejected = entry.outcome == "rejected" and entry.code != "superseded"
            if event is None or rejected != event.poison:
                strange.append(f"{'/'.join(map(str, entry.address))}: {entry.outcome} {entry.code}".rstrip())
        elif isinstance(entry, Buried) and entry.key not in poisonous:
            strange.append(f"dead letter of {entry.key} on {entry.topic}: {entry.code}")
    return tuple(strange)


def _named(event: Published) -> str:
    return f"{event.tenant}/{event.document} version {event.version}"
