"""A real Triton, where `make servers` has installed it, with the models of this folder."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from ctypes.util import find_library
from pathlib import Path
from string import Template

from processors.backends.embedded.model_files import locate
from streams.local import tether
from streams.local.listeners import free_ports
from tests.servers.llama import Llama, llama

CHECKOUT = Path(__file__).parents[3]
ENVIRONMENT = CHECKOUT / ".headwater" / "servers" / "triton"
PYTHON = sysconfig.get_python_version()
MODELS = Path(__file__).with_name("models")
GENERATORS = ("vllm", "ensemble", "llmapi", "llmapi_whole")
READY_S = 90.0
STARTS = 3
"""On a loaded machine it ends now and then at its start, by a lock that it shares with the processes of its models."""
SHARED_MEMORY = Path("/dev/shm")


def missing() -> str:
    """Why there is none here, and what to do; empty where there is."""
    if not (ENVIRONMENT / ".installed").exists():
        return "the real Triton is not installed: make servers"
    shared = Path(sysconfig.get_config_var("LIBDIR"), f"libpython{PYTHON}.so.1.0")
    if not shared.exists() and find_library(f"python{PYTHON}") is None:
        return f"Triton's models need {shared.name}: install a Python {PYTHON} that is built with a shared library"
    return ""


class Triton:
    """A Triton Inference Server on a port of its own, under explicit model control."""

    def __init__(
        self, folder: Path, models: Sequence[str], parameters: Mapping[str, str], options: Sequence[str] = ()
    ) -> None:
        self.folder = folder
        [self.port] = free_ports(1)
        self._log = folder / "triton.log"
        self._regions = f"headwater-{self.port}-"
        self._process: subprocess.Popen[bytes] | None = None
        packages = ENVIRONMENT / "lib" / f"python{PYTHON}" / "site-packages"
        self._installed = packages / "pytriton" / "tritonserver"
        # Its stub is linked to a libpython, and a system's of another patch version does not fit our standard library.
        self._libraries = f"{sysconfig.get_config_var('LIBDIR')}:{packages / 'nvidia_pytriton.libs'}"
        self._lay_out(parameters)
        self._command = [
            *(sys.executable, "-P", tether.__file__, str(os.getpid())),
            str(self._installed / "bin" / "tritonserver"),
            f"--model-repository={folder / 'repository'}",
            f"--backend-directory={folder / 'backends'}",
            f"--backend-config=python,shm-region-prefix-name={self._regions}",
            *("--grpc-address=127.0.0.1", f"--grpc-port={self.port}", "--allow-http=false", "--allow-metrics=false"),
            *("--model-control-mode=explicit", *(f"--load-model={name}" for name in models)),
            *options,
        ]

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        """Return when every model is loaded: only then does Triton listen."""
        for _ in range(STARTS):
            self._launch()
            if self._comes_up():
                return
            self.kill()
        raise RuntimeError(f"Triton is not ready: {self.log()[-3000:]}")

    def _launch(self) -> None:
        environment = os.environ | {
            "LD_LIBRARY_PATH": self._libraries,
            "PATH": f"{ENVIRONMENT / 'bin'}:{os.environ['PATH']}",
            "PYTHONPATH": str(CHECKOUT),
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command, stdout=log, stderr=log, env=environment, start_new_session=True
            )

    def _comes_up(self) -> bool:
        assert self._process
        deadline = time.monotonic() + READY_S
        while not _listens(self.port):
            if self._process.poll() is not None or time.monotonic() > deadline:
                return False
            time.sleep(0.05)
        return True

    def log(self) -> str:
        return self._log.read_text(errors="replace")

    def kill(self) -> None:
        """As a crash does, with the processes of its models and their shared memory; harmless when repeated."""
        if self._process is not None:
            with suppress(ProcessLookupError):  # it may have ended by itself
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None
        for region in SHARED_MEMORY.glob(f"{self._regions}*"):
            region.unlink(missing_ok=True)

    def _lay_out(self, parameters: Mapping[str, str]) -> None:
        """The model repository and the backends, as Triton wants to find them."""
        for module in MODELS.glob("*.pbtxt"):
            model = self.folder / "repository" / module.stem
            (model / "1").mkdir(parents=True)
            (model / "config.pbtxt").write_text(Template(module.read_text()).safe_substitute(parameters))
            if module.with_suffix(".py").is_file() and module.stem != "vllm":
                (model / "1" / "model.py").write_text(_import_of(module.stem))
        python = self.folder / "backends" / "python"
        shutil.copytree(self._installed / "backends" / "python", python)
        stubs = self._installed / "python_backend_stubs" / PYTHON
        shutil.copy(stubs / "triton_python_backend_stub", python)
        # A backend written in Python is a folder of its name: so the model's platform is what vLLM users see.
        vllm = self.folder / "backends" / "vllm"
        vllm.mkdir()
        (vllm / "model.py").write_text(_import_of("vllm"))


def _import_of(module: str) -> str:
    return f"from tests.servers.triton.models.{module} import TritonPythonModel\n"


def _listens(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


@contextmanager
def serving(*models: str, options: Sequence[str] = (), **parameters: str) -> Iterator[Triton]:
    """A running server with these models loaded; gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="headwater-triton-", ignore_cleanup_errors=True) as folder:
        server = Triton(Path(folder), models, parameters, options)
        try:
            server.start()
            yield server
        finally:
            server.kill()


@contextmanager
def everything(*further: str) -> Iterator[tuple[Triton, Llama]]:
    """A server with the models that embed, rerank and generate, and what they generate with."""
    minilm = locate("embedded://minilm-int8", cache=Path(".headwater/models"))
    wheels = sysconfig.get_path("purelib")
    with (
        llama() as model,
        serving(
            *("embedding", "rerank", *GENERATORS, *further),
            fingerprint=minilm.fingerprint(),
            wheels=wheels,
            llama=model.address,
        ) as server,
    ):
        yield server, model
