"""A real Milvus standalone, where `make servers` has installed it."""

import json
import os
import signal
import socket
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from streams.local import tether
from streams.local.listeners import free_ports

ENVIRONMENT = Path(__file__).parents[2] / ".headwater" / "servers" / "milvus"
PORTS = (
    "etcd_port",
    "root_coord_port",
    "proxy_port",
    "proxy_internal_port",
    "query_coord_port",
    "query_node_port",
    "index_coord_port",
    "index_node_port",
    "data_coord_port",
    "data_node_port",
)
COMPONENTS = ("rootCoord", "proxy", "queryCoord", "queryNode", "indexNode", "dataCoord", "dataNode")
HEALTHY_S = 180.0
"""After a kill -9 it takes up to two minutes."""


def missing() -> str:
    """Why there is none here, and what to do; empty where there is."""
    return "" if (ENVIRONMENT / ".installed").exists() else "the real Milvus is not installed: make servers"


class Standalone:
    """A Milvus 2.3.5 on ports of its own, to be killed and started again on the same data."""

    def __init__(self, folder: Path, settings: Mapping[str, str | float | bool]) -> None:
        self.folder = folder
        health, etcd_peer, *ports = free_ports(2 + len(PORTS))
        self._health = f"http://127.0.0.1:{health}/healthz"
        named = dict(zip(PORTS, ports, strict=True))
        self.port = named["proxy_port"]
        loopback = {f"{component}.ip": "127.0.0.1" for component in COMPONENTS}
        given = {
            "ports": named,
            "health_port": health,
            "etcd_peer_port": etcd_peer,
            "settings": loopback | dict(settings),
        }
        python = ENVIRONMENT / "bin" / "python"
        program = Path(__file__).with_name("milvus_program.py")
        # -P, or the program would find this module under the name of the package.
        command = [str(python), "-P", str(program), str(folder), str(ENVIRONMENT / "unpacked"), json.dumps(given)]
        self._command = [str(python), "-P", tether.__file__, str(os.getpid()), *command]
        self._process: subprocess.Popen[bytes] | None = None

    def index_url(self, collection: str) -> str:
        return f"milvus+http://{self.address}/{collection}"

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        """Return when it is healthy."""
        with (self.folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log, start_new_session=True)
        deadline = time.monotonic() + HEALTHY_S
        while not self._healthy():
            if self._process.poll() is not None or time.monotonic() > deadline:
                said = (self.folder / "server.log").read_text(errors="replace")[-4000:]
                raise RuntimeError(f"Milvus is not healthy: {said}")
            time.sleep(0.1)

    def kill(self) -> None:
        """As a crash does, its whole process group."""
        if self._process is not None:
            with suppress(ProcessLookupError):  # it may have ended by itself
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    def _healthy(self) -> bool:
        """By what a server with TLS and passwords answers, too."""
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            with urllib.request.urlopen(self._health, timeout=1) as answer:
                return bool(answer.read().strip() == b"OK")
        except OSError:
            return False


@contextmanager
def standalone(**settings: str | float | bool) -> Iterator[Standalone]:
    """A running server with Milvus' own settings beside the defaults; gone afterwards, with its data."""
    with tempfile.TemporaryDirectory(prefix="headwater-milvus-", ignore_cleanup_errors=True) as folder:
        server = Standalone(Path(folder), settings)
        try:
            server.start()
            yield server
        finally:
            server.kill()
