"""The reading process: one document in, its elements out, over pipes, for as long as its parent lives."""

import ctypes
import os
import resource
import signal
import struct
import sys
from collections.abc import Iterable
from typing import BinaryIO, Final

import orjson

from processors.backends.documents.readers import detection, encodings, plain
from processors.errors import Poison
from processors.ports import Element

FRAME: Final = struct.Struct(">Q")
MEMORY_BYTES: Final = 3 * 1024**3
"""Address space; unstructured with its libraries maps about 1 GiB before it reads anything."""
PR_SET_PDEATHSIG: Final = 1


def main() -> None:
    """Answer requests until the parent closes its end. Nothing a library prints may reach the pipes."""
    requests = os.fdopen(os.dup(0), "rb")
    replies = os.fdopen(os.dup(1), "wb")
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(null, 1)
    _bind_to_parent()
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    while (header := _receive(requests)) is not None:
        data = _receive(requests) or b""
        _send(replies, orjson.dumps(answer(data, **orjson.loads(header))))


def answer(data: bytes, *, media_type: str, filename: str, hires: bool) -> dict[str, object]:
    """`elements` as rows of kind, text, page and depth, or a poison's `code` and `detail`."""
    try:
        return {"elements": [[e.kind, e.text, e.page, e.depth] for e in read(data, media_type, filename, hires)]}
    except Poison as poison:
        return {"code": poison.code, "detail": encodings.clean(poison.detail)}
    except RecursionError:
        return {"code": "unreadable", "detail": f"{filename!r} is nested too deeply to be read"}
    except MemoryError:
        return {"code": "too-large", "detail": f"{filename!r} needs over {MEMORY_BYTES >> 30} GiB to read: split it"}


def read(data: bytes, media_type: str, filename: str, hires: bool = False) -> list[Element]:
    """The elements with text in a document, at least one. Raises Poison."""
    if not data.strip(b"\0 \t\r\n"):
        raise Poison("empty-document", f"{filename!r} is empty: publish it again with content, or delete it")
    kind = detection.detect(data, media_type=media_type, filename=filename)
    elements = []
    for element in _elements(data, kind, encodings.declared_charset(media_type.encode()), filename, hires):
        text = encodings.clean(element.text).strip("\n").rstrip()
        if text.strip():
            elements.append(Element(kind=element.kind, text=text, page=element.page, depth=element.depth))
    if not elements:
        remedy = "; for scanned pages use the hires extra (parser=embedded://unstructured?pdf=hires)"
        raise Poison("no-text", f"{filename!r} has no text in it{remedy if kind == detection.PDF else ''}")
    return elements


def _elements(data: bytes, kind: str, charset: str, filename: str, hires: bool) -> Iterable[Element]:
    if kind == detection.PDF and not hires:
        from processors.backends.documents.readers import pypdf

        return pypdf.read(data, filename=filename)
    if kind in (detection.TEXT, detection.CSV, detection.JSON):
        content = encodings.decode(data, charset=charset, filename=filename)
        if kind == detection.CSV:
            return plain.table(content, filename)
        return plain.document(content, filename) if kind == detection.JSON else plain.text(content)
    from processors.backends.documents.readers import unstructured

    if kind == detection.PDF:
        return unstructured.read_layout(data, filename=filename)
    return unstructured.read(data, media_type=kind, charset=charset, filename=filename)


def _bind_to_parent() -> None:
    """Die with the parent even in the middle of a document, and leave Ctrl-C to it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _receive(stream: BinaryIO) -> bytes | None:
    size = stream.read(FRAME.size)
    return stream.read(FRAME.unpack(size)[0]) if len(size) == FRAME.size else None


def _send(stream: BinaryIO, payload: bytes) -> None:
    stream.write(FRAME.pack(len(payload)) + payload)
    stream.flush()


if __name__ == "__main__":
    main()
