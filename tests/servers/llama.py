"""A llama.cpp server, of a test's own or the local stack's, whose slots can be watched."""

import asyncio
import http.client
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import psutil

from streams.local import llm, state, tether
from streams.local.listeners import free_ports
from streams.settings import Settings

READY_S = 60.0
PATIENCE_S = 30.0
"""For a slot to be taken or freed: two cores are shared with everything else."""


class Llama:
    """A running server."""

    def __init__(self, port: int, pid: int) -> None:
        self.port = port
        self._process = psutil.Process(pid)

    @classmethod
    def of(cls, settings: Settings) -> "Llama":
        """The running local stack's."""
        seen = state.read(settings.home)
        assert seen is not None
        pid = seen.parts["llm"].pid
        assert pid is not None
        return cls(settings.local.llm_port, pid)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def busy(self) -> int:
        """How many of its slots generate."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", "/slots")
            slots = json.loads(connection.getresponse().read())
        finally:
            connection.close()
        return sum(bool(slot["is_processing"]) for slot in slots)

    def cpu_s(self) -> float:
        """The time that it has computed."""
        family = [self._process, *self._process.children(recursive=True)]
        return sum(times.user + times.system for times in (each.cpu_times() for each in family))

    async def until_busy(self, count: int) -> None:
        """Wait until so many of its slots generate."""
        async with asyncio.timeout(PATIENCE_S):
            while await asyncio.to_thread(self.busy) != count:  # noqa: ASYNC110 - it tells only when asked
                await asyncio.sleep(0.01)

    @asynccontextmanager
    async def freed_within_1_s(self) -> AsyncIterator[None]:
        """What is under way within must end, and the server compute no second longer.

        That is a second of the clock where it has a core to itself, and no matter of what else the cores have to do.
        """
        before_s = self.cpu_s()
        yield
        await self.until_busy(0)
        assert self.cpu_s() - before_s < 1.0


@contextmanager
def llama() -> Iterator[Llama]:
    with tempfile.TemporaryDirectory(prefix="headwater-llama-") as folder:
        [port] = free_ports(1)
        llm.link_libgomp(Path(folder))
        command = [sys.executable, "-P", str(llm.SERVER), str(llm.model_file(Settings())), str(port)]
        log = Path(folder, "log").open("wb")  # noqa: SIM115 - the process keeps it
        process = subprocess.Popen(
            [sys.executable, "-P", tether.__file__, str(os.getpid()), *command],
            stdout=log,
            stderr=log,
            # Its threads spin otherwise, which takes ten times as long where others want the cores.
            env=os.environ | {"LD_LIBRARY_PATH": folder, "OMP_WAIT_POLICY": "PASSIVE"},
        )
        try:
            deadline = time.monotonic() + READY_S
            while not llm.answers(port):
                if process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"llama.cpp does not answer: {Path(log.name).read_text(errors='replace')}")
                time.sleep(0.05)
            yield Llama(port, process.pid)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait()
            log.close()
