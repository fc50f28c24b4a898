"""A llama.cpp server of a test's own, on SmolLM2, whose slots can be watched."""

import http.client
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from streams.local import llm, tether
from streams.local.listeners import free_ports
from streams.settings import Settings

READY_S = 60.0


class Llama:
    """A running server."""

    def __init__(self, port: int) -> None:
        self.port = port

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
            yield Llama(port)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait()
            log.close()
