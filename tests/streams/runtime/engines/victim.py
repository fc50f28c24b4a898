"""A worker to be killed: `python -m tests.streams.runtime.engines.victim ENGINE BOOTSTRAP GROUP TOPIC LOG`."""

import asyncio
import os
import sys
from typing import Literal

from streams.runtime.engines.confluent import ConfluentEngine
from streams.runtime.engines.faust import FaustEngine
from streams.runtime.engines.hosting import Engine
from streams.runtime.engines.reader import Options
from streams.runtime.records import Record

WORK_S = 0.01
SESSION_S = 6
"""The shortest session that a broker allows, so that the next victim soon owns what this one leaves."""

EngineName = Literal["faust", "confluent"]


def engine_of(name: EngineName, bootstrap: str, *, max_events: int) -> Engine:
    """An engine on this broker."""
    if name == "confluent":
        options: Options = {"bootstrap.servers": bootstrap, "session.timeout.ms": SESSION_S * 1000, "log_level": 0}
        return ConfluentEngine(options, max_events=max_events, max_bytes=1_000_000)
    settings = {"broker": f"kafka://{bootstrap}", "broker_session_timeout": SESSION_S, "broker_heartbeat_interval": 1}
    return FaustEngine(settings, max_events=max_events, max_bytes=1_000_000)


async def main(name: EngineName, bootstrap: str, group: str, topic: str, path: str) -> None:
    """Write down the partition and value of every record, after it was handled."""
    log = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    engine = engine_of(name, bootstrap, max_events=16)

    async def handle(record: Record) -> None:
        await asyncio.sleep(WORK_S)
        os.write(log, b"%d %s\n" % (record.partition, record.value))

    engine.host(group, topic, handle)
    await engine.run(asyncio.Event(), on_ready=lambda: None)


if __name__ == "__main__":
    _, engine, *rest = sys.argv
    asyncio.run(main("confluent" if engine == "confluent" else "faust", *rest))
