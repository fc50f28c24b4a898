"""Reads PDF text page by page."""

import io
from collections.abc import Iterator

from processors.errors import Poison
from processors.ports import Element


def read(data: bytes, *, filename: str) -> Iterator[Element]:
    """A PDF's paragraphs with their pages, 1-based. Poison: `encrypted`, `unreadable`."""
    from pypdf import PdfReader
    from pypdf.errors import DependencyError, PyPdfError

    try:
        reader = PdfReader(io.BytesIO(data))
        if reader.is_encrypted and not reader.decrypt(""):
            raise Poison("encrypted", f"{filename!r} is protected by a password: publish it without one")
        title = (reader.metadata.title or "").strip() if reader.metadata else ""
        if title:
            yield Element(kind="title", text=title, page=1)
        for number, page in enumerate(reader.pages, start=1):
            for paragraph in page.extract_text().split("\n\n"):
                yield Element(kind="text", text=paragraph.strip(), page=number)
    except (PyPdfError, DependencyError, ValueError, KeyError, TypeError, AttributeError, IndexError, OSError) as error:
        raise Poison("unreadable", f"{filename!r} is a damaged or cut-off PDF ({error}): send it again"[:500]) from None
