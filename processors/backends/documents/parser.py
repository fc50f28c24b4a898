"""Parser: reads documents in processes that can be killed."""

import asyncio
import os
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from typing import Final

import orjson

from processors.backends.documents.readers.child import FRAME
from processors.errors import Poison, Transient
from processors.ports import Element
from processors.turns import Slots

CHILD: Final = (
    "import sys; sys.path[:] = {path!r}; from processors.backends.documents.readers.child import main; main()"
)
INHERITED: Final = ("HOME", "LANG", "LD_LIBRARY_PATH", "PATH", "TMPDIR", "TZ")
INHERITED_PREFIXES: Final = ("HF_", "LC_", "PYTHON")
"""All that a reading process gets of our environment: hostile documents are read beside no password."""
ENVIRONMENT: Final = {
    "DO_NOT_TRACK": "1",
    "SCARF_NO_ANALYTICS": "1",
    "UNSTRUCTURED_DISABLE_NOTICE": "1",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
}
MAX_DOCUMENT_BYTES: Final = 256 * 1024 * 1024


class DocumentParser:
    """Reads pdf, docx, pptx, xlsx, html, md, eml, csv, txt and json.

    A document is read in a process of its own class: one that hangs, crashes or grows is ended, and only that
    document is poison. A process stays for the next document; several are started when several wait.
    """

    def __init__(self, url: str = "embedded://unstructured", *, timeout_s: float = 60.0, processes: int = 2) -> None:
        """`?pdf=hires` in the URL reads PDF by layout analysis instead of its text layer."""
        self.hires = url.endswith("?pdf=hires")
        self.timeout_s = timeout_s
        self._slots = Slots(processes)
        self._idle: list[_Child] = []
        self._busy: set[_Child] = set()

    async def open(self) -> None:
        needed = {"unstructured": "parse", "pypdf": "parse"} | (
            {"unstructured_inference": "hires"} if self.hires else {}
        )
        for library, extra in needed.items():
            if find_spec(library) is None:
                raise Poison("parser-missing", f"{library!r} is not installed: pip install 'headwater[{extra}]'")
        # Else a broken installation would look like broken documents.
        await self.check()

    async def close(self) -> None:
        children = [*self._idle, *self._busy]
        self._idle.clear()
        for child in children:
            await child.kill()

    async def check(self) -> str:
        elements = await self.parse(b"ready", media_type="text/plain", filename="check.txt")
        return f"reading process answers ({len(elements)} element)"

    async def parse(self, data: bytes, *, media_type: str, filename: str) -> Sequence[Element]:
        if len(data) > MAX_DOCUMENT_BYTES:
            raise Poison("too-large", f"{filename!r} has {len(data):,} bytes; at most {MAX_DOCUMENT_BYTES:,}: split it")
        header = orjson.dumps({"media_type": media_type, "filename": filename, "hires": self.hires})
        async with self._slots.held(len(data)):
            reply = orjson.loads(await self._ask(header, data, filename))
        if "code" in reply:
            raise Poison(reply["code"], reply["detail"])
        return [Element(kind=kind, text=text, page=page, depth=depth) for kind, text, page, depth in reply["elements"]]

    async def _ask(self, header: bytes, data: bytes, filename: str) -> bytes:
        child = self._idle.pop() if self._idle else await _Child.start()
        self._busy.add(child)
        answered = False
        try:
            async with asyncio.timeout(self.timeout_s):
                reply = await child.ask(header, data)
            answered = True
            return reply
        except TimeoutError:
            raise Poison(
                "parse-timeout", f"{filename!r} was not read within {self.timeout_s:g} s: split or simplify it"
            ) from None
        except (EOFError, OSError):
            raise Poison("unreadable", f"{filename!r} made its reader crash: save it anew, or split it") from None
        finally:
            self._busy.discard(child)
            if answered:
                self._idle.append(child)
            else:
                await child.kill()


class _Child:
    """A reading process and the pipes to it."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    @classmethod
    async def start(cls) -> "_Child":
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-c",
                CHILD.format(path=sys.path),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
                env=_environment(),
            )
        except OSError as error:
            raise Transient(f"cannot start a reading process: {error}") from error
        return cls(process)

    async def ask(self, header: bytes, data: bytes) -> bytes:
        assert self.process.stdin
        assert self.process.stdout
        for part in (header, data):
            self.process.stdin.write(FRAME.pack(len(part)))
            self.process.stdin.write(part)
        await self.process.stdin.drain()
        (size,) = FRAME.unpack(await self.process.stdout.readexactly(FRAME.size))
        return await self.process.stdout.readexactly(size)

    async def kill(self) -> None:
        if self.process.returncode is None:
            self.process.kill()
        await self.process.wait()


def _environment() -> dict[str, str]:
    kept = {
        name: value for name, value in os.environ.items() if name in INHERITED or name.startswith(INHERITED_PREFIXES)
    }
    return kept | ENVIRONMENT
