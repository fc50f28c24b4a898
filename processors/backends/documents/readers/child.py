"""The reading process: one document in, its elements out, over pipes, for as long as its parent lives."""

import ctypes
import math
import os
import resource
import signal
import struct
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import BinaryIO, Final

import orjson

from processors.backends.documents.readers import caps, detection, encodings, mail, plain
from processors.errors import Poison
from processors.ports import Element

FRAME: Final = struct.Struct(">Q")
PR_SET_PDEATHSIG: Final = 1
VERBATIM: Final = (detection.TEXT, detection.CSV, detection.JSON)
"""Read with the standard library."""


def main() -> None:
    """Answer requests until the parent closes its end. Nothing a library prints may reach the pipes."""
    requests = os.fdopen(os.dup(0), "rb")
    replies = os.fdopen(os.dup(1), "wb")
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(null, 1)
    _bind_to_parent()
    _be_the_first_to_go()
    _limit(resource.RLIMIT_CORE, 0)
    while (header := _receive(requests)) is not None:
        data = _receive(requests) or b""
        request = orjson.loads(header)
        _send(replies, orjson.dumps(warm(request["warm"]) if "warm" in request else answer(data, **request)))


def warm(kinds: Iterable[str]) -> dict[str, object]:
    """Import what these media types need, before a document waits for it."""
    for kind in kinds:
        if kind == detection.PDF:
            from processors.backends.documents.readers import pypdf

            pypdf.load()
        elif kind not in VERBATIM:
            from processors.backends.documents.readers import unstructured

            unstructured.load(kind)
            # Any format's first paragraph builds the tokenizer, which takes as long as a library.
            list(unstructured.read(b"<p>A sentence.</p>", media_type=detection.HTML, charset="", filename="warm.html"))
    return {}


def answer(
    data: bytes, *, media_type: str, filename: str, hires: bool, cpu_s: int, memory_bytes: int
) -> dict[str, object]:
    """`kind` and `elements` as rows of kind, text, page and depth, or a poison's `code` and `detail`.

    With either, `resident_bytes`: the memory that this process holds afterwards; 0 where the system does not tell.
    """
    _limit(resource.RLIMIT_CPU, math.ceil(time.process_time()) + cpu_s)
    _limit(resource.RLIMIT_DATA, memory_bytes)
    said: dict[str, object]
    try:
        kind, elements = read(data, media_type, filename, hires)
        said = {"kind": kind, "elements": [[e.kind, e.text, e.page, e.depth] for e in elements]}
    except Poison as poison:
        said = {"code": poison.code, "detail": encodings.clean(poison.detail)}
    return {**said, "resident_bytes": _resident_bytes()}


def read(data: bytes, media_type: str, filename: str, hires: bool = False) -> tuple[str, list[Element]]:
    """Which type a document is of, and its elements with text, at least one. Raises Poison."""
    if not data.strip(b"\0 \t\r\n"):
        raise Poison("empty-document", f"{filename!r} is empty: publish it again with content, or delete it")
    try:
        kind, found = _recognised(data, media_type, filename, hires)
        elements = _cleaned(caps.within(found, filename))
    except RecursionError:
        raise Poison("unreadable", f"{filename!r} is nested too deeply to be read: simplify it") from None
    except MemoryError:
        raise Poison("parse-memory", f"{filename!r} needs more memory than a document may take: split it") from None
    if not elements:
        remedy = "; for scanned pages use the hires extra (parser=embedded://unstructured?pdf=hires)"
        raise Poison("no-text", f"{filename!r} has no text in it{remedy if kind == detection.PDF else ''}")
    return kind, elements


def _cleaned(elements: Iterable[Element]) -> list[Element]:
    cleaned = []
    for element in elements:
        text = encodings.clean(element.text).strip("\n").rstrip()
        if text.strip():
            cleaned.append(Element(kind=element.kind, text=text, page=element.page, depth=element.depth))
    return cleaned


def _recognised(
    data: bytes, media_type: str, filename: str, hires: bool, depth: int = 0
) -> tuple[str, Iterable[Element]]:
    kind = detection.detect(data, media_type=media_type, filename=filename)
    charset = encodings.declared_charset(media_type.encode())
    elements = _elements(data, kind, charset, filename, hires)
    return kind, chain(elements, _attached(data, filename, hires, depth)) if kind == detection.EMAIL else elements


def _elements(data: bytes, kind: str, charset: str, filename: str, hires: bool) -> Iterable[Element]:
    if kind == detection.PDF and not hires:
        from processors.backends.documents.readers import pypdf

        return pypdf.read(data, filename=filename)
    if kind in VERBATIM:
        content = encodings.decode(data, charset=charset, filename=filename)
        if kind != detection.JSON:  # of which most may be structure
            caps.check_chars(len(content), filename)
        if kind == detection.CSV:
            return plain.table(content, filename)
        return plain.document(content, filename) if kind == detection.JSON else plain.text(content)
    from processors.backends.documents.readers import unstructured

    if kind == detection.PDF:
        return unstructured.read_layout(data, filename=filename)
    return unstructured.read(data, media_type=kind, charset=charset, filename=filename)


def _attached(data: bytes, filename: str, hires: bool, depth: int) -> Iterator[Element]:
    """What stands in a mail's attachments, each under the same checks as a document of its own."""
    for name, media_type, content in mail.attachments(data, filename):
        where = f"{filename}: {name}"
        if depth == mail.MAX_DEPTH:
            raise Poison("unreadable", f"{where!r} is a mail within {depth} others, which is too deep: send it alone")
        try:
            _, elements = _recognised(content, media_type, where, hires, depth + 1)
            yield from (replace(element, page=None) for element in elements)
        except Poison as poison:
            if poison.code not in mail.NOT_READ:
                raise


def _bind_to_parent() -> None:
    """Die with the parent even in the middle of a document, and leave Ctrl-C and a service's stop to it."""
    for told_to_all in (signal.SIGINT, signal.SIGTERM):
        signal.signal(told_to_all, signal.SIG_IGN)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _be_the_first_to_go() -> None:
    """Where the container runs out of memory, Linux ends this process and not the worker."""
    with suppress(OSError):  # where the system has no such order, or does not let it be changed
        Path("/proc/self/oom_score_adj").write_text("1000")


def _resident_bytes() -> int:
    pages = Path("/proc/self/statm")
    return int(pages.read_text().split()[1]) * resource.getpagesize() if pages.exists() else 0


def _limit(limit: int, value: int) -> None:
    """Set the soft limit alone: it moves on with every document."""
    hard = resource.getrlimit(limit)[1]
    resource.setrlimit(limit, (value if hard == resource.RLIM_INFINITY else min(value, hard), hard))


def _receive(stream: BinaryIO) -> bytes | None:
    size = stream.read(FRAME.size)
    return stream.read(FRAME.unpack(size)[0]) if len(size) == FRAME.size else None


def _send(stream: BinaryIO, payload: bytes) -> None:
    stream.write(FRAME.pack(len(payload)) + payload)
    stream.flush()


if __name__ == "__main__":
    main()
