"""A worker with some of its ports replaced: `python -m benchmarks.injected STAGES free|stub-embedder|timed`.

Settings come from the environment, as for `headwater worker`; everything else is the worker's own.
"""

import asyncio
import signal
import sys
from collections.abc import Callable, Mapping

from benchmarks.rig import SPANS_FILE
from benchmarks.substitutes import FreePorts, StubEmbedderPorts
from benchmarks.timed import Log, TimedPorts
from streams import logs
from streams.composition import Backends
from streams.pipelines import Ports
from streams.settings import Settings
from streams.tracing import tracing
from streams.worker import Worker


def timed(ports: Ports, settings: Settings) -> Ports:
    return TimedPorts(ports, Log(settings.home / SPANS_FILE))


PORT_SETS: Mapping[str, Callable[[Ports, Settings], Ports]] = {
    "free": lambda ports, _: FreePorts(ports),
    "stub-embedder": lambda ports, _: StubEmbedderPorts(ports),
    "timed": timed,
}


async def main(stages: str, ports: str) -> None:
    """Host the stages until SIGTERM."""
    settings = Settings()
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    replaced = PORT_SETS[ports](Backends(settings), settings)
    with tracing(settings, "worker") as tracer:
        await Worker(settings, stages.split(","), tracer=tracer, ports=replaced).run(stop)


if __name__ == "__main__":
    logs.configure("info")
    asyncio.run(main(*sys.argv[1:]))
