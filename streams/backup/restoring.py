"""Restore: every saved record published again, versions and deletions included."""

import asyncio
from contextlib import AsyncExitStack
from dataclasses import replace

from processors.ports import ObjectStore
from schemas import Claim, DocumentPublished, encode
from streams.backup.archive import Archive
from streams.backup.files import OBJECTS, Entry, entries, files, understood
from streams.backup.saving import opened
from streams.runtime.producer import KafkaBroker
from streams.runtime.records import Outgoing
from streams.settings import Settings
from streams.topics import DOCUMENTS, MAX_RECORD_BYTES

BATCH = 100
"""Records under way at once: 400 MB where each is as large as a record may be."""


async def restore(settings: Settings, archive: Archive) -> int:
    """Publish every saved record again, each key's in order, its content before it; how many."""
    topic = settings.topic_prefix + DOCUMENTS.name
    kept = set(archive.names(OBJECTS))
    count = 0
    async with AsyncExitStack() as stack:
        store = await opened(settings, stack)
        broker = KafkaBroker(settings.kafka_config, max_record_bytes=MAX_RECORD_BYTES)
        await broker.open()
        stack.push_async_callback(broker.close)
        under_way = []
        for saved in files(archive):
            for entry in entries(archive, saved):
                value = await _with_content(store, entry, archive, kept)
                under_way.append(await broker.send(Outgoing(topic=topic, key=entry[0], value=value, headers=entry[2])))
                if len(under_way) == BATCH:
                    await asyncio.gather(*under_way)
                    under_way.clear()
                count += 1
        await asyncio.gather(*under_way)
    return count


async def _with_content(store: ObjectStore, entry: Entry, archive: Archive, kept: set[str]) -> bytes | None:
    """The value, once the content that it claims is in the store; another store gives the claim another address."""
    event, value = understood(entry), entry[1]
    if not isinstance(event, DocumentPublished) or not isinstance(event.source, Claim):
        return value
    if (name := f"{OBJECTS}/{event.source.sha256}") not in kept:
        return value
    claim = await store.put(archive.get(name))
    return value if claim == event.source else encode(replace(event, source=claim))
