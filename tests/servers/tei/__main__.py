"""`python -m tests.servers.tei --model minilm --port 8080`: serve until SIGTERM or SIGINT."""

import asyncio
import os
import resource
import signal
import sys

from tests.servers.tei.flags import Flags, parse
from tests.servers.tei.model import MiniLm
from tests.servers.tei.server import Server


async def serve(flags: Flags) -> None:
    server = Server(flags, MiniLm(flags))
    await server.start()
    end = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, end.set)
    if flags.parent:
        loop.add_reader(sys.stdin, _leave_with_parent)
    print(f"http://127.0.0.1:{server.port}", flush=True)
    await end.wait()
    await server.stop()


def _leave_with_parent() -> None:
    if not os.read(sys.stdin.fileno(), 1):
        os._exit(1)


if __name__ == "__main__":
    # Aborting is part of the contract, and leaves no core file.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    asyncio.run(serve(parse(sys.argv[1:])))
