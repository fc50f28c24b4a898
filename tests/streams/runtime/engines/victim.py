"""A worker that is killed: `python -m tests.streams.runtime.engines.victim BOOTSTRAP GROUP TOPIC LOG`."""

import asyncio
import os
import sys

from streams.runtime.engines.faust import FaustEngine
from streams.runtime.records import Record

WORK_S = 0.01


async def main(bootstrap: str, group: str, topic: str, path: str) -> None:
    log = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    # The shortest session that a broker allows, so that the next victim soon owns what this one leaves.
    options = {"broker": f"kafka://{bootstrap}", "broker_session_timeout": 6.0, "broker_heartbeat_interval": 1.0}
    engine = FaustEngine(options, max_events=16, max_bytes=1_000_000)

    async def handle(record: Record) -> None:
        await asyncio.sleep(WORK_S)
        os.write(log, b"%d %s\n" % (record.partition, record.value))

    engine.host(group, topic, handle)
    await engine.run(asyncio.Event(), on_ready=lambda: None)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
