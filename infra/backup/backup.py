"""Back up and restore the topic `documents`, from which the index, the receipts and all else are made.

    python -m infra.backup.backup save FOLDER       what was published since the last time, into new files
    python -m infra.backup.backup restore FOLDER    publish all of it again, versions and deletions included
    python -m infra.backup.backup forget FOLDER     take deleted documents out of the files

The broker is that of the settings (`HEADWATER_KAFKA`, ...). The folder is for a tool of your own to copy to where it
is safe; `files` says what lies in it.
"""

import argparse
import asyncio
import gzip
import sys
from collections.abc import Mapping
from contextlib import AsyncExitStack, ExitStack
from dataclasses import replace
from pathlib import Path
from typing import IO

from confluent_kafka import KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient

from infra.backup.files import SUFFIX, claimed, files, line, publish, records, understood
from processors.errors import Poison, Transient
from processors.ports import ObjectStore
from schemas import Claim, DocumentDeleted, DocumentPublished, encode
from streams.composition import Backends
from streams.letters.kafka import KafkaLog
from streams.letters.log import Positions
from streams.runtime.producer import KafkaBroker
from streams.runtime.records import Headers, Outgoing
from streams.settings import Settings
from streams.topics import DOCUMENTS, MAX_RECORD_BYTES

BATCH = 100
"""Records under way at once: 400 MB where each is as large as a record may be."""
OBJECTS = "objects"


class Gap(Exception):
    """The broker had deleted records before they were saved."""


async def save(settings: Settings, folder: Path) -> int:
    """Save what is new; how many records. Raises Gap, once all that is left has been saved."""
    log = KafkaLog(settings.kafka_config, settings.topic_prefix)
    starts = log.starts([DOCUMENTS.name])
    place = folder / topic_id(settings)
    place.mkdir(parents=True, exist_ok=True)
    done = {(DOCUMENTS.name, saved.partition): saved.end for saved in files(place)}
    positions = {where: max(start, done.get(where, start)) for where, start in starts.items()}
    ends = dict(positions)
    count = 0
    async with AsyncExitStack() as stack:
        store = await opened(settings, stack)
        parts = stack.enter_context(ExitStack())
        writing: dict[int, IO[str]] = {}
        for record in log.scan(positions):
            if record.partition not in writing:
                part = place / f"{record.partition}.part"
                writing[record.partition] = parts.enter_context(gzip.open(part, "wt"))  # noqa: SIM115  # closed with `parts`
            writing[record.partition].write(line(record.key, record.value, record.headers))
            if (claim := claimed(record.value, record.headers)) is not None:
                await save_object(store, claim, folder / OBJECTS)
            ends[DOCUMENTS.name, record.partition] = record.offset + 1
            count += 1
    for number in writing:
        where = (DOCUMENTS.name, number)
        # Digits that sort.
        name = f"{number:04}-{positions[where]:016}-{ends[where]:016}{SUFFIX}"
        publish(place / f"{number}.part", place / name)
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


async def save_object(store: ObjectStore, claim: Claim, objects: Path) -> None:
    path = objects / claim.sha256
    if path.exists():
        return
    try:
        data = await store.get(claim)
    except Poison as error:  # the worker was told the same, and rejected the document
        print(f"not saved: {error.detail}", file=sys.stderr)
        return
    keep(data, path)


def keep(data: bytes, path: Path) -> None:
    path.parent.mkdir(exist_ok=True)
    part = path.with_suffix(".part")
    part.write_bytes(data)
    publish(part, path)


async def restore(settings: Settings, folder: Path) -> int:
    """Publish every saved record again, each key's in order, its content before it; how many."""
    topic = settings.topic_prefix + DOCUMENTS.name
    count = 0
    async with AsyncExitStack() as stack:
        store = await opened(settings, stack)
        broker = KafkaBroker(settings.kafka_config, max_record_bytes=MAX_RECORD_BYTES)
        await broker.open()
        stack.push_async_callback(broker.close)
        under_way = []
        for saved in files(folder):
            for key, value, headers in records(saved.path):
                complete = await with_content(store, value, headers, folder / OBJECTS)
                under_way.append(await broker.send(Outgoing(topic=topic, key=key, value=complete, headers=headers)))
                if len(under_way) == BATCH:
                    await asyncio.gather(*under_way)
                    under_way.clear()
                count += 1
        await asyncio.gather(*under_way)
    return count


async def with_content(store: ObjectStore, value: bytes | None, headers: Headers, objects: Path) -> bytes | None:
    """The value, once the content that it claims is in the store; another store gives the claim another address."""
    event = understood(value, headers)
    if not isinstance(event, DocumentPublished) or not isinstance(event.source, Claim):
        return value
    if (data := kept(objects / event.source.sha256)) is None:
        return value
    claim = await store.put(data)
    return value if claim == event.source else encode(replace(event, source=claim))


def kept(path: Path) -> bytes | None:
    return path.read_bytes() if path.exists() else None


async def opened(settings: Settings, stack: AsyncExitStack) -> ObjectStore:
    store = Backends(settings).objects
    await store.open()
    stack.push_async_callback(store.close)
    return store


def forget(folder: Path) -> int:
    """Take out every publication that a deletion has overtaken; the deletions stay. How many were taken out."""
    deleted: dict[str, int] = {}
    for saved in files(folder):
        for _, value, headers in records(saved.path):
            if isinstance(event := understood(value, headers), DocumentDeleted):
                deleted[event.key] = max(event.version, deleted.get(event.key, 0))
    taken = sum(without(saved.path, deleted) for saved in files(folder))
    named = {
        claim.sha256
        for saved in files(folder)
        for _, value, headers in records(saved.path)
        if (claim := claimed(value, headers)) is not None
    }
    for path in (folder / OBJECTS).glob("*"):
        if path.name not in named:
            path.unlink()
    return taken


def without(path: Path, deleted: Mapping[str, int]) -> int:
    """Write the file anew without what was deleted, where there is any."""
    part = path.with_suffix(".part")
    taken = 0
    with gzip.open(part, "wt") as file:
        for key, value, headers in records(path):
            event = understood(value, headers)
            if isinstance(event, DocumentPublished) and event.version <= deleted.get(event.key, 0):
                taken += 1
            else:
                file.write(line(key, value, headers))
    if taken:
        publish(part, path)
    else:
        part.unlink()
    return taken


def topic_id(settings: Settings) -> str:
    """Which the broker gives to no other topic, even of the same name."""
    name = settings.topic_prefix + DOCUMENTS.name
    admin = AdminClient({**settings.kafka_config})  # it must outlive the answer
    return str(admin.describe_topics(TopicCollection([name]))[name].result().topic_id)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("what", choices=["save", "restore", "forget"])
    parser.add_argument("folder", type=Path)
    arguments = parser.parse_args()
    folder: Path = arguments.folder
    try:
        if arguments.what == "save":
            print(f"saved {asyncio.run(save(Settings(), folder)):,} records")
            return
        if not files(folder):
            sys.exit(f"{folder} holds no backup")
        if arguments.what == "restore":
            count = asyncio.run(restore(Settings(), folder))
            print(f"restored {count:,} records; `headwater status` says how many still wait for the workers")
        else:
            print(f"took out {forget(folder):,} records")
    except (Gap, OSError, EOFError, KafkaException, Poison, Transient) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
