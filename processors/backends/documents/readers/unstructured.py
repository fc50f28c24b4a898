"""Reads Office files, HTML, Markdown and mail with unstructured, offline."""

import io
import re
from collections.abc import Callable, Iterator, Sequence
from html.parser import HTMLParser
from importlib import import_module
from typing import Any, Final

from processors.backends.documents.readers import BROKEN_INPUT, caps, detection, encodings, plain
from processors.errors import Poison
from processors.ports import Element, ElementKind

PARTITIONERS: Final = {
    detection.DOCX: "docx",
    detection.PPTX: "pptx",
    detection.XLSX: "xlsx",
    detection.HTML: "html",
    detection.MARKDOWN: "md",
    detection.EMAIL: "email",
}
KINDS: Final[dict[str, ElementKind]] = {"ListItem": "list-item", "CodeSnippet": "code", "Table": "table"}
PAGED: Final = (detection.PPTX, detection.PDF)
DEEPEST_TITLE: Final = 9


def read(data: bytes, *, media_type: str, charset: str, filename: str) -> Iterator[Element]:
    """The document's elements. Poison: `unreadable`."""
    partition = load(media_type)
    # Nobody reads an element's language, and finding it takes ten times as long as all the rest.
    options: dict[str, Any] = {"languages": [""]}
    if media_type in (detection.HTML, detection.MARKDOWN):
        charset = charset or encodings.declared_charset(data)
        options["text"] = encodings.decode(data, charset=charset, filename=filename)
        if media_type == detection.MARKDOWN:
            caps.check_chars(len(options["text"]), filename)
    else:
        options["file"] = io.BytesIO(data)
    if media_type == detection.EMAIL:
        options["process_attachments"] = False  # it would open them unseen
    lost = _loss(media_type)
    try:
        found = partition(**options)
    except Poison:
        raise
    except BROKEN_INPUT as error:
        raise Poison(
            "unreadable", f"{filename!r} is damaged ({type(error).__name__}: {error})"[:400] + ": save it anew"
        ) from None
    if what := lost():
        raise Poison("unreadable", f"{filename!r} is nested too deeply, or a text in it is too long ({what}): split it")
    if media_type == detection.EMAIL:
        yield from _letterhead(found)
    yield from _elements(found, media_type, filename)


def load(media_type: str) -> Any:
    """What reads this type, with its libraries imported."""
    return _partitioner(PARTITIONERS[media_type])


def read_layout(data: bytes, *, filename: str) -> Iterator[Element]:
    """A PDF by layout analysis and text recognition, with the `hires` extra. Poison: `unreadable`."""
    try:
        found = _partitioner("pdf")(file=io.BytesIO(data), strategy="hi_res", infer_table_structure=True)
    except BROKEN_INPUT as error:
        raise Poison("unreadable", f"{filename!r} is a damaged PDF ({error})"[:400] + ": save it anew") from None
    yield from _elements(found, detection.PDF, filename)


def _partitioner(name: str) -> Any:
    import spacy
    from unstructured.nlp import tokenize

    def blank() -> Any:
        # The stock model is fetched at first use; a blank pipeline gives the same elements, 10-25 times faster.
        pipeline = spacy.blank("en")
        pipeline.add_pipe("sentencizer")
        return pipeline

    tokenize._load_spacy_model = blank
    return getattr(import_module(f"unstructured.partition.{name}"), f"partition_{name}")


def _loss(media_type: str) -> Callable[[], str]:
    """Tells, after reading, why markup was left out; nothing where all was read.

    The parser of HTML ends without an error where elements are nested beyond 256 levels or a text is over 10 MB.
    """
    if media_type not in (detection.HTML, detection.MARKDOWN, detection.EMAIL):
        return str
    from unstructured.partition.html.parser import html_parser

    # One parser for all documents, whose log is that of its last one.
    html_parser.feed("<p></p>")
    html_parser.close()
    return lambda: next((str(entry.message) for entry in html_parser.error_log if entry.level_name == "FATAL"), "")


def _letterhead(found: Sequence[Any]) -> Iterator[Element]:
    for about in [item.metadata for item in found[:1]]:
        if about.subject:
            yield Element(kind="title", text=about.subject)
        if about.sent_from:
            lines = [f"From: {', '.join(about.sent_from)}", f"To: {', '.join(about.sent_to or ())}"]
            yield Element(kind="text", text="\n".join(lines))


def _elements(found: Sequence[Any], media_type: str, filename: str) -> Iterator[Element]:
    if media_type in PAGED:
        caps.check_pages(max((item.metadata.page_number or 0 for item in found), default=0), filename)
    sheet = None
    for item in found:
        about, name = item.metadata, type(item).__name__
        if media_type == detection.XLSX and about.page_name != sheet:
            sheet = about.page_name
            yield Element(kind="title", text=sheet)
        kind, depth = KINDS.get(name, "text"), 0
        if name == "Title" and about.category_depth is not None:
            kind, depth = _title(media_type, about.category_depth)
        text = _rows(about.text_as_html) if kind == "table" and about.text_as_html else item.text
        yield Element(kind=kind, text=text, depth=depth, page=about.page_number if media_type in PAGED else None)


def _title(media_type: str, depth: int) -> tuple[ElementKind, int]:
    if media_type == detection.PPTX and depth > 0:
        return "list-item", 0  # the bullets of a slide's placeholder
    if media_type == detection.EMAIL:
        return "text", 0
    return "title", min(depth, DEEPEST_TITLE)


class _Rows(HTMLParser):
    """Collects the cells of a table's markup."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.cell: list[str] | None = None

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.cell = []
        elif tag == "br" and self.cell is not None:
            self.cell.append(" ")

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th") and self.cell is not None and self.rows:
            self.rows[-1].append(" ".join("".join(self.cell).split()))
            self.cell = None

    def handle_data(self, data: str) -> None:
        if self.cell is not None:
            self.cell.append(data)


def _rows(markup: str) -> str:
    parser = _Rows()
    parser.feed(re.sub(r"(?<=>)\s+(?=<)", "", markup))
    return plain.labelled(parser.rows)
