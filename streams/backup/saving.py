"""Save: what was published since the last time, into new files."""

import sys
from contextlib import AsyncExitStack

from processors.errors import Poison
from processors.ports import ObjectStore
from schemas import Claim
from streams.backup.archive import Archive
from streams.backup.files import OBJECTS, Entry, Writing, claimed, files
from streams.composition import Backends
from streams.letters.kafka import KafkaLog
from streams.letters.log import Positions
from streams.settings import Settings
from streams.topics import DOCUMENTS


class Gap(Exception):
    """The broker had deleted records before they were saved."""


async def save(settings: Settings, archive: Archive) -> int:
    """Save what is new; how many records. Raises Gap, once all that is left has been saved."""
    log = KafkaLog(settings.kafka_config, settings.topic_prefix)
    starts = log.starts([DOCUMENTS.name])
    folder = log.topic_id(DOCUMENTS.name)
    done = {(DOCUMENTS.name, saved.partition): saved.end for saved in files(archive, folder)}
    positions = {where: max(start, done.get(where, start)) for where, start in starts.items()}
    writing = {number: Writing(archive, folder, number, first) for (_, number), first in positions.items()}
    kept = set(archive.names(OBJECTS))
    count = 0
    async with AsyncExitStack() as stack:
        store = await opened(settings, stack)
        for record in log.scan(positions):
            entry: Entry = (record.key, record.value, record.headers)
            if (claim := claimed(entry)) is not None and (name := f"{OBJECTS}/{claim.sha256}") not in kept:
                await _save_content(store, claim, archive, name)
                kept.add(name)
            writing[record.partition].add(record.offset, entry)
            count += 1
    for each in writing.values():
        each.publish()
    refuse_gaps(done, starts)
    return count


def refuse_gaps(done: Positions, starts: Positions) -> None:
    """Raises Gap where a partition begins behind what was saved of it."""
    lost = [
        f"{done[where]} to {start} of partition {where[1]}"
        for where, start in starts.items()
        if done.get(where, start) < start
    ]
    if lost:
        raise Gap(
            f"the broker deleted offsets {', '.join(lost)} before they were saved: save more often than it forgets"
        )


async def _save_content(store: ObjectStore, claim: Claim, archive: Archive, name: str) -> None:
    try:
        data = await store.get(claim)
    except Poison as error:  # the worker was told the same, and rejected the document
        print(f"not saved: {error.detail}", file=sys.stderr)
        return
    archive.put(name, data)


async def opened(settings: Settings, stack: AsyncExitStack) -> ObjectStore:
    store = Backends(settings).objects
    await store.open()
    stack.push_async_callback(store.close)
    return store
