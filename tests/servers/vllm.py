"""A real vLLM on the CPU, where `make nightly` has installed it."""

import os
import signal
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from streams.local import tether
from streams.local.listeners import free_ports

ENVIRONMENT = Path(__file__).parents[2] / ".headwater" / "servers" / "vllm"
MODEL = "smollm2"
READY_S = 300.0
STOP_S = 20.0
QUIET = {"HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1"}
SIZE = {"VLLM_CPU_KVCACHE_SPACE": "1"}
"""GB."""


def missing() -> str:
    """Why there is none here, and what to do; empty where there is."""
    return "" if (ENVIRONMENT / ".installed").exists() else "vLLM is not installed: make nightly"


@contextmanager
def serving() -> Iterator[str]:
    """URL of a running server with SmolLM2, for the setting `generator`; it takes a minute to start."""
    [port] = free_ports(1)
    options = ["--host", "127.0.0.1", "--port", str(port), "--served-model-name", MODEL, "--dtype", "bfloat16"]
    options += ["--max-model-len", "2048", "--max-num-seqs", "8", "--enforce-eager"]
    program = [str(ENVIRONMENT / "bin" / "vllm"), "serve", str(ENVIRONMENT / "model"), *options]
    command = [str(ENVIRONMENT / "bin" / "python"), "-P", tether.__file__, str(os.getpid()), *program]
    with tempfile.TemporaryFile() as log:
        environment = os.environ | QUIET | SIZE
        process = subprocess.Popen(command, stdout=log, stderr=log, env=environment, start_new_session=True)
        try:
            _wait_ready(process, port, log.fileno())
            yield f"openai+http://127.0.0.1:{port}/v1?model={MODEL}"
        finally:
            _stop(process)


def _wait_ready(process: subprocess.Popen[bytes], port: int, log: int) -> None:
    deadline = time.monotonic() + READY_S
    while not _healthy(port):
        if process.poll() is not None or time.monotonic() > deadline:
            size = os.fstat(log).st_size
            raise RuntimeError(f"vLLM is not ready: {os.pread(log, 4_000, max(0, size - 4_000)).decode()}")
        time.sleep(0.2)


def _healthy(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=1) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def _stop(process: subprocess.Popen[bytes]) -> None:
    """The server and its engine, which is a process of its own in the same group."""
    process.send_signal(signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        process.wait(STOP_S)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
