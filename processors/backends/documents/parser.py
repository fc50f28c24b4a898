"""Parser: reads documents in processes that can be killed."""

import asyncio
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Final

import orjson

from processors import memory
from processors.backends.documents.processes import ReadingProcess, ReadingProcesses
from processors.errors import Poison
from processors.ports import Element

MIB: Final = 1024 * 1024
MAX_DOCUMENT_BYTES: Final = 256 * MIB
LEAST_MEMORY_BYTES: Final = 512 * MIB
"""With all its libraries a reading process holds 290 MiB before it reads anything."""
MOST_MEMORY_BYTES: Final = 3072 * MIB
MEMORY_SHARE: Final = 0.5
"""Of the container's memory, for all reading processes together."""
GROWN_SHARE: Final = 0.75
"""A process that still holds so much of what it may have, after its document, is replaced: libraries leak."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What reading one document may cost."""

    wall_s: float = 120.0
    """Ends what waits for something, or gets no turn on a crowded machine."""
    cpu_s: int = 60
    """Of processor time: it decides, and is the same on a busy machine as on an idle one."""
    memory_bytes: int | None = None
    """Of data, the libraries' own included; none: a share of the container's memory."""


class DocumentParser:
    """Reads pdf, docx, pptx, xlsx, html, md, eml, csv, txt and json.

    A document is read in a process of its own class: one that hangs, crashes or grows is ended, and only that
    document is poison. A process stays for the next document; several are started when several wait.
    """

    def __init__(self, url: str = "embedded://unstructured", *, limits: Limits = Limits(), processes: int = 2) -> None:
        """`?pdf=hires` in the URL reads PDF by layout analysis instead of its text layer."""
        self.hires = url.endswith("?pdf=hires")
        self.limits = limits
        self._count = processes
        self._processes = ReadingProcesses(processes)
        self._needed: set[str] = set()

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
        await self._processes.close()

    async def check(self) -> str:
        elements = await self.parse(b"ready", media_type="text/plain", filename="check.txt")
        return f"reading process answers ({len(elements)} element)"

    async def parse(self, data: bytes, *, media_type: str, filename: str) -> Sequence[Element]:
        if len(data) > MAX_DOCUMENT_BYTES:
            raise Poison("too-large", f"{filename!r} has {len(data):,} bytes; at most {MAX_DOCUMENT_BYTES:,}: split it")
        memory_bytes = self.limits.memory_bytes or _memory_share(self._count)
        request = {
            "media_type": media_type,
            "filename": filename,
            "hires": self.hires,
            "cpu_s": self.limits.cpu_s,
            "memory_bytes": memory_bytes,
        }
        async with self._processes.lent(len(data)) as process:
            reply = orjson.loads(await self._ask(process, orjson.dumps(request), data, filename))
            process.spoilt = reply["resident_bytes"] > GROWN_SHARE * memory_bytes
        if "code" in reply:
            raise Poison(reply["code"], reply["detail"])
        self._learn(reply["kind"])
        return [Element(kind=kind, text=text, page=page, depth=depth) for kind, text, page, depth in reply["elements"]]

    def _learn(self, kind: str) -> None:
        """A process that replaces another is prepared for the formats that came so far."""
        if kind not in self._needed:
            self._needed.add(kind)
            self._processes.warming = (orjson.dumps({"warm": sorted(self._needed)}), b"")

    async def _ask(self, process: ReadingProcess, header: bytes, data: bytes, filename: str) -> bytes:
        try:
            async with asyncio.timeout(self.limits.wall_s):
                return await process.ask(header, data)
        except TimeoutError:
            raise Poison(
                "parse-timeout", f"{filename!r} was not read within {self.limits.wall_s:g} s: split or simplify it"
            ) from None
        except (EOFError, OSError):
            raise self._ended(await process.ended(), filename) from None

    def _ended(self, code: int, filename: str) -> Poison:
        """What it says about a document that its process ended over it."""
        if code == -signal.SIGXCPU:
            return Poison(
                "parse-cpu",
                f"{filename!r} takes over {self.limits.cpu_s} s of processor time to read: split or simplify it",
            )
        if code == -signal.SIGKILL:
            return Poison(
                "parse-memory",
                f"the process that read {filename!r} was killed, as it is where the machine or container runs out of "
                "memory: split it, or give the worker more",
            )
        return Poison("unreadable", f"{filename!r} made its reader crash ({code}): save it anew, or split it")


def _memory_share(processes: int) -> int:
    """Bytes for one reading process; asked for each document, as a container may be resized under us."""
    share = int(MEMORY_SHARE * memory.limit_bytes() / processes)
    return min(max(share, LEAST_MEMORY_BYTES), MOST_MEMORY_BYTES)
