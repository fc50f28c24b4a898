"""On a small disk of its own: `python -m tests.chaos.full_disk SEED ENGINE DISK FOLDER`, settings from the environment.

Runs the scenario, and writes its outcome to FOLDER, which lies on another disk.
"""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict
from pathlib import Path

import orjson

from streams.local.kafka import broker
from streams.local.listeners import free_ports
from streams.local.milvus import vector_store
from streams.settings import Settings
from tests.chaos.scenario import Run, Scenario
from tests.chaos.small_disk import fill, free
from tests.servers.own import OwnServer, running

NO_SPACE = b"No space left on device"
OUTCOME = "outcome.json"


class DiskFull(Scenario):
    """The disk of a server is filled while it is written to, stays full for a while, and has room again."""

    number = 15

    def __init__(self, server: OwnServer, log: Path, disk: Path) -> None:
        self._server = server
        self._log = log
        self._disk = disk

    async def strike(self, run: Run) -> None:
        await asyncio.sleep(run.random.uniform(0.5, 2))
        await run.busy()
        taken = await asyncio.to_thread(fill, self._disk)
        await asyncio.sleep(run.random.uniform(2, 5))
        refused, held = self._log.read_bytes().count(NO_SPACE), len(run.in_hand())
        await asyncio.to_thread(free, self._disk)
        # What the local stack's supervisor does for a part that has ended.
        ended = not await asyncio.to_thread(self._probe)
        if ended:
            await self._server.start()
        evidence = f"{taken:,} bytes of ballast, {refused} writes refused, {held} events in hand, {'it ended' * ended}"
        run.note("disk full", self._server.part.name, struck=bool(refused and run.unanswered), evidence=evidence)

    def _probe(self) -> bool:
        assert self._server.part.probe is not None
        return self._server.part.probe()


class StoreDiskFull(DiskFull):
    """The vector store lives on; what it cannot write it refuses."""

    name = "disk full, Milvus Lite"


class BrokerDiskFull(DiskFull):
    """The broker ends, as one with its only disk full does."""

    name = "disk full, broker"


@asynccontextmanager
async def on(disk: Path, stack: Settings, seed: int, log: Path) -> AsyncIterator[tuple[OwnServer, Settings]]:
    """A server of this run alone whose data are on the disk, by turns the vector store and the broker."""
    kafka, controller, milvus = free_ports(3)
    ports = {"kafka_port": kafka, "kafka_controller_port": controller, "milvus_port": milvus}
    own = stack.model_copy(update={"home": disk, "local": stack.local.model_copy(update=ports)})
    assert stack.local.jars is not None
    async with running(vector_store(own) if seed % 2 else broker(own, stack.local.jars), log) as server:
        beside = stack.local.model_copy(update={"milvus_port": milvus if seed % 2 else stack.local.milvus_port})
        yield server, stack.model_copy(update={"local": beside, "kafka": "" if seed % 2 else server.address})


async def main(seed: int, engine: str, disk: Path, folder: Path) -> None:
    stack, log = Settings(), folder / "server.log"
    async with on(disk, stack, seed, log) as (server, theirs):
        kind = StoreDiskFull if seed % 2 else BrokerDiskFull
        found = await kind(server, log, disk).run(theirs, seed=seed, engine=engine, folder=folder)
    (folder / OUTCOME).write_bytes(orjson.dumps(asdict(found)))


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), sys.argv[2], Path(sys.argv[3]), Path(sys.argv[4])))
