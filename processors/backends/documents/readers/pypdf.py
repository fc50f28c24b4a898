"""Reads PDF text page by page, with pypdf."""

import io
import re
from collections.abc import Iterator
from importlib import import_module
from typing import Final

from processors.backends.documents.readers import BROKEN_INPUT, caps
from processors.errors import Poison
from processors.ports import Element

MEANINGLESS_TITLE: Final = re.compile(
    r"untitled|microsoft \w+ -|.*\.(docx?|pptx?|indd|tex|dvi|qxd|pdf)$", re.IGNORECASE
)
"""What word processors write where nobody gave the document a title."""
SENTENCE_END: Final = re.compile(r"""[.!?:;\u2026]["')\u201d\u2019]?$""")
FULL_LINE: Final = 0.75
"""A line shorter than this share of the page's longest is the last of its paragraph, or a heading."""
BULLET: Final = re.compile(r"[-*\u2022\u2013]\s|\d{1,3}[.)]\s")


def read(data: bytes, *, filename: str) -> Iterator[Element]:
    """A PDF's paragraphs with their pages, 1-based. Poison: `encrypted`, `unreadable`, `too-many-pages`."""
    from pypdf import PdfReader
    from pypdf.errors import DependencyError, PyPdfError

    try:
        reader = PdfReader(io.BytesIO(data))
        if reader.is_encrypted and not reader.decrypt(""):
            raise Poison("encrypted", f"{filename!r} is protected by a password: publish it without one")
        title = str(reader.metadata.title or "").strip() if reader.metadata else ""
        if title and not MEANINGLESS_TITLE.match(title):
            yield Element(kind="title", text=title, page=1)
        if not reader.pages:
            raise _damaged(filename, "no page in it")
        caps.check_pages(len(reader.pages), filename)
        for number, page in enumerate(reader.pages, start=1):
            for paragraph in paragraphs(page.extract_text()):
                if paragraph != title:
                    yield Element(kind="text", text=paragraph, page=number)
    except Poison:
        raise
    except (PyPdfError, DependencyError, *BROKEN_INPUT) as error:
        raise _damaged(filename, str(error)) from None


def load() -> None:
    """Import the library."""
    import_module("pypdf")


def paragraphs(page: str) -> Iterator[str]:
    """The page's lines joined to paragraphs, words that were broken at a line's end made whole."""
    lines = [line.strip() for line in page.splitlines()]
    longest = max(map(len, lines), default=0)
    gathered = ""
    for line in lines:
        if gathered and (not line or BULLET.match(line)):
            yield gathered
            gathered = ""
        hyphenated = gathered.endswith("-") and gathered[-2:-1].isalpha() and line[:1].islower()
        gathered = gathered[:-1] + line if hyphenated else f"{gathered} {line}".strip()
        if len(line) < FULL_LINE * longest or (SENTENCE_END.search(line) and len(line) < 0.9 * longest):
            yield gathered
            gathered = ""
    yield gathered


def _damaged(filename: str, why: str) -> Poison:
    return Poison("unreadable", f"{filename!r} is a damaged or cut-off PDF ({why[:300]}): save it anew")
