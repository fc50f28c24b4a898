"""What a benchmark stands on: a private local stack, workers as processes, and equal cores for both sides."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import psutil

from streams import provisioning
from streams.local import stack as local_stack
from streams.local import tether
from streams.settings import Settings
from tests.servers.own import own_stack

PortSet = Literal["free", "stub-embedder", "timed"]
TETHER = tether.__file__
"""No worker outlives its benchmark."""
SPANS_FILE = "spans"
"""Under the home of a deployment whose ports are timed."""
READY_LINE = b"worker ready"
READY_S = 60.0
STOP_S = 30.0
THREAD_SETTINGS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS")


def pin(cores: int) -> None:
    """Keep this process, and all that it starts, on the same cores with as many threads."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores])
    for name in THREAD_SETTINGS:
        os.environ[name] = str(cores)


@contextmanager
def stack(*, workers: bool = False) -> Iterator[Settings]:
    """Settings of a broker, vector store and language model of one's own, on free ports; gone afterwards."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # so that what follows cleans up
    with tempfile.TemporaryDirectory(prefix="headwater-bench-", ignore_cleanup_errors=True) as home:
        settings = own_stack(Path(home))
        local_stack.prepare(settings, lambda _done, _total: None)
        starting = local_stack.start(settings, workers=workers)
        try:
            local_stack.wait_ready(settings.home, process=starting.process)
            yield settings
        finally:
            local_stack.stop(settings)
            starting.release()
            starting.process.wait()


def deployment(settings: Settings, name: str, **changes: str | Path) -> Settings:
    """A deployment on the same servers with topics and a collection of its own, its topics created."""
    index = f"milvus+http://127.0.0.1:{settings.local.milvus_port}/{name}"
    own = settings.model_copy(update={"topic_prefix": f"{name}-", "index": index, **changes})
    provisioning.apply(own)
    return own


class Worker:
    """A worker process and what it costs."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self._process = process
        self._info = psutil.Process(process.pid)
        self.log = log

    @property
    def cpu_s(self) -> float:
        """CPU-seconds so far, user and system, of the process and its live children."""
        return sum(times.user + times.system for times in (each.cpu_times() for each in self._family()))

    @property
    def rss_bytes(self) -> int:
        """Resident memory of the process and its children."""
        return sum(each.memory_info().rss for each in self._family())

    def _family(self) -> list[psutil.Process]:
        return [self._info, *self._info.children(recursive=True)]

    def wait_ready(self, timeout_s: float = READY_S) -> None:
        """Return when the worker says that it consumes."""
        deadline = time.monotonic() + timeout_s
        while READY_LINE not in self.log.read_bytes():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"worker not ready: {self.log.read_text()[-2000:]}")
            time.sleep(0.005)

    def stop(self) -> None:
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


@contextmanager
def worker(settings: Settings, stages: str, *, wait: bool = True) -> Iterator[Worker]:
    """A worker as users run it: `headwater worker --stages ...`; unless told otherwise, one that is ready."""
    with _process(settings, "streams", "worker", "--stages", stages) as running:
        if wait:
            running.wait_ready()
        yield running


@contextmanager
def injected(settings: Settings, stages: str, ports: PortSet) -> Iterator[Worker]:
    """The same worker with some of its ports replaced, see `benchmarks.injected`."""
    with _process(settings, "benchmarks.injected", stages, ports) as running:
        running.wait_ready()
        yield running


@contextmanager
def _process(settings: Settings, module: str, *arguments: str) -> Iterator[Worker]:
    with tempfile.NamedTemporaryFile(dir=settings.home, suffix=".log", delete=False) as log:
        process = subprocess.Popen(
            [sys.executable, TETHER, str(os.getpid()), sys.executable, "-m", module, *arguments],
            stdout=log,
            stderr=subprocess.STDOUT,
            env=os.environ | settings.environment,
        )
    running = Worker(process, Path(log.name))
    try:
        yield running
    except BaseException:
        print(f"--- the end of {log.name} ---", running.log.read_text()[-3000:], sep="\n", file=sys.stderr)
        raise
    finally:
        running.stop()
