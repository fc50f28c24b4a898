"""A worker process: `python -m tests.streams.runtime.engines.victim ENGINE BOOTSTRAP GROUP TOPIC LOG WORK_S`."""

import asyncio
import os
import signal
import sys

from streams.runtime.engines.confluent import ConfluentEngine
from streams.runtime.engines.faust import FaustEngine
from streams.runtime.engines.hosting import Engine
from streams.runtime.engines.reader import Options
from streams.runtime.records import Record
from streams.settings import EngineName

SESSION_S = 6
"""The shortest session that a broker allows, so that the next victim soon owns what this one leaves."""


def engine_of(name: EngineName, bootstrap: str, *, max_events: int) -> Engine:
    """An engine on this broker."""
    if name == "confluent":
        options: Options = {"bootstrap.servers": bootstrap, "session.timeout.ms": SESSION_S * 1000, "log_level": 0}
        return ConfluentEngine(options, max_events=max_events, max_bytes=1_000_000)
    settings = {"broker": f"kafka://{bootstrap}", "broker_session_timeout": SESSION_S, "broker_heartbeat_interval": 1}
    return FaustEngine(settings, max_events=max_events, max_bytes=1_000_000)


async def main(engine: Engine, group: str, topic: str, path: str, work_s: str) -> None:
    """Write down every record, before and after it was handled, until SIGTERM."""
    log = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    async def handle(record: Record) -> None:
        os.write(log, b"began %s\n" % record.value)
        await asyncio.sleep(float(work_s))
        os.write(log, b"handled %s\n" % record.value)

    engine.host(group, topic, handle)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await engine.run(stop, on_ready=lambda: None)


if __name__ == "__main__":
    _, name, bootstrap, *rest = sys.argv
    asyncio.run(main(engine_of("confluent" if name == "confluent" else "faust", bootstrap, max_events=16), *rest))
