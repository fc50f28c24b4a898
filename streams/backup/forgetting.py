"""Forget: deleted documents taken out of what was saved."""

from schemas import DocumentDeleted, DocumentPublished
from streams.backup.archive import Archive
from streams.backup.files import OBJECTS, claimed, entries, files, packed, understood


def forget(archive: Archive) -> int:
    """Take out every publication that a deletion has overtaken; the deletions stay. How many were taken out.

    Content that nothing names any more goes as well, so nothing may be saved meanwhile.
    """
    saved = files(archive)
    deleted: dict[str, int] = {}
    for each in saved:
        for entry in entries(archive, each):
            if isinstance(event := understood(entry), DocumentDeleted):
                deleted[event.key] = max(event.version, deleted.get(event.key, 0))
    taken = 0
    named = set()
    for each in saved:
        before = list(entries(archive, each))
        after = [entry for entry in before if not _overtaken(understood(entry), deleted)]
        if len(after) < len(before):
            archive.put(each.name, packed(after))
            taken += len(before) - len(after)
        named |= {f"{OBJECTS}/{claim.sha256}" for entry in after if (claim := claimed(entry)) is not None}
    for name in set(archive.names(OBJECTS)) - named:
        archive.delete(name)
    return taken


def _overtaken(event: object, deleted: dict[str, int]) -> bool:
    return isinstance(event, DocumentPublished) and event.version <= deleted.get(event.key, 0)
