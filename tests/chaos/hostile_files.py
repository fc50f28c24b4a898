"""The hostile files: how each is built, and with which code it is rejected."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.message import EmailMessage

from tests.chaos import hostile_archives as archives
from tests.chaos import hostile_pdfs as pdfs
from tests.chaos.hostile_archives import MIB, OLE, cell, docx, paragraph, pptx, xlsx, zipped

TENFOLD = "".join(f"<!ENTITY a{n} '{f'&a{n - 1};' * 10}'>" for n in range(1, 10))
LAUGHS = f"<!DOCTYPE x [<!ENTITY a0 'ha'>{TENFOLD}]>"
LOCKED = OLE + "EncryptedPackage".encode("utf-16-le")
NESTED_TABLES = "<w:tbl><w:tr><w:tc>" * 3000 + paragraph("x") + "</w:tc></w:tr></w:tbl>" * 3000


FAR = f'<row r="1">{cell("A1", "a")}</row><row r="1048576">{cell("XFD1048576", "z")}</row>'


@dataclass(frozen=True, slots=True)
class Hostile:
    """A file, by its name's key below, that must not be read as if all were well."""

    build: Callable[[], bytes]
    codes: tuple[str, ...]
    """One of them is what it is rejected with."""


def of(build: Callable[[], bytes], *codes: str) -> Hostile:
    return Hostile(build, codes)


def mail_of_parts(count: int) -> bytes:
    part = b"--b\r\nContent-Type: text/plain\r\n\r\n \r\n"
    head = b"Subject: parts\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
    return head + part * count + b"--b--\r\n"


def mail(subject: str, *attachments: tuple[bytes, str], forwarded: EmailMessage | None = None) -> EmailMessage:
    letter = EmailMessage()
    letter["Subject"] = subject
    letter["From"] = "someone@example.org"
    letter.set_content(f"A letter about {subject}.")
    for data, filename in attachments:
        letter.add_attachment(data, maintype="application", subtype="octet-stream", filename=filename)
    if forwarded is not None:
        letter.add_attachment(forwarded)
    return letter


def mail_in_mail(depth: int) -> bytes:
    """A mail that forwards a mail that forwards a mail."""
    letter = mail("bottom")
    for number in range(depth):
        letter = mail(f"level {number}", forwarded=letter)
    return letter.as_bytes()


def mail_in_itself() -> bytes:
    """A forwarded mail whose parts are delimited as those of the mail around it, again and again."""
    outer = b"Subject: again\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
    return (outer + b"--b\r\nContent-Type: message/rfc822\r\n\r\n") * 300 + b"Subject: end\r\n\r\nbottom\r\n--b--\r\n"


def sheet(text: str, *, doctype: str = "", before: str = "", after: str = "") -> bytes:
    return xlsx(f'<row r="1">{cell("A1", text)}</row>', doctype=doctype, before=before, after=after)


ARCHIVES: Mapping[str, Hostile] = {
    "ratio.docx": of(archives.ratio_bomb, "decompression-bomb"),
    "ratio.zip": of(lambda: zipped({"zeros.txt": bytes(30 * MIB)}), "decompression-bomb"),
    "overlapping.docx": of(archives.overlapping, "decompression-bomb"),
    "members.docx": of(archives.many_members, "too-large"),
    "huge-member.docx": of(lambda: archives.swollen(150 * MIB), "too-large"),
    "zip64.docx": of(lambda: archives.swollen(2**60), "decompression-bomb"),
    "lying-small.docx": of(archives.lying_small, "unreadable"),
    "zip-in.zip": of(lambda: zipped({"in.zip": zipped({"x.txt": "x"})}), "nested-archive"),
    "docx-in.zip": of(lambda: zipped({"in.docx": docx(paragraph("x"))}), "nested-archive"),
    "chunk-in.docx": of(lambda: docx("", more={"word/chunk.docx": docx(paragraph("x"))}), "nested-archive"),
    "book.epub": of(lambda: zipped({"mimetype": "application/epub+zip", "x.xhtml": "x"}), "unsupported-media-type"),
    "locked.zip": of(lambda: archives.locked(zipped({"x.txt": "x"})), "encrypted"),
    "locked-parts.docx": of(lambda: archives.locked(docx(paragraph("x"))), "encrypted"),
    "locked.docx": of(lambda: LOCKED, "encrypted"),
    "locked.xlsx": of(lambda: LOCKED, "encrypted"),
    "laughs.docx": of(lambda: docx(paragraph("&a9;"), doctype=LAUGHS), "unreadable"),
    "laughs.xlsx": of(lambda: sheet("&a9;", doctype=LAUGHS), "unreadable"),
    "laughs.pptx": of(lambda: pptx("&a9;", doctype=LAUGHS), "unreadable"),
    "tables.docx": of(lambda: docx(NESTED_TABLES), "unreadable"),
}
PDFS: Mapping[str, Hostile] = {
    "page-tree.pdf": of(pdfs.page_tree_cycle, "unreadable"),
    "endless-pages.pdf": of(pdfs.endless_pages, "unreadable"),
    "many-pages.pdf": of(lambda: pdfs.many_pages(10_001), "too-many-pages"),
    "form.pdf": of(pdfs.form_recursion, "no-text"),
    "contents.pdf": of(pdfs.contents_cycle, "no-text"),
    "xref.pdf": of(pdfs.xref_cycle, "unreadable"),
    "flate.pdf": of(pdfs.flate_bomb, "unreadable"),
    "chain.pdf": of(pdfs.filter_chain, "unreadable"),
    "image.pdf": of(pdfs.huge_image, "no-text"),
    "deep.pdf": of(pdfs.deep_array, "unreadable"),
    "locked.pdf": of(pdfs.locked, "encrypted"),
}
TEXTS: Mapping[str, Hostile] = {
    "deep.html": of(lambda: b"<div>" * 100_000 + b"bottom" + b"</div>" * 100_000, "unreadable"),
    "divs.html": of(lambda: b"<p>top</p>" + b"<div>" * 20_000 + b"<p>bottom</p>", "unreadable"),
    "line.html": of(lambda: b"<p>" + b"word " * (10 * MIB), "unreadable"),
    "line.txt": of(lambda: b"word " * (10 * MIB), "too-much-text"),
    "line.md": of(lambda: b"word " * (10 * MIB), "too-much-text"),
    "line.csv": of(lambda: b"word," * (10 * MIB), "too-much-text"),
    "line.json": of(lambda: b'["' + b"word " * (10 * MIB) + b'"]', "too-much-text"),
    "line.eml": of(lambda: b"Subject: x\r\n\r\n" + b"word " * (10 * MIB), "too-much-text", "parse-cpu"),
    "paragraphs.txt": of(lambda: b"a\n\n" * 250_001, "too-many-elements"),
    "deep.json": of(lambda: b"[" * 100_000 + b"]" * 100_000, "unreadable"),
    "deep-objects.json": of(lambda: b'{"a":' * 100_000, "unreadable"),
    "nul.txt": of(lambda: b"a\0" * 100_000, "unreadable"),
    "utf-16.txt": of(lambda: ("Nobody says that this is UTF-16. " * 50).encode("utf-16-le"), "unreadable"),
    "utf-16.html": of(lambda: ("<p>Nobody says that this is UTF-16. " * 50).encode("utf-16-le"), "unreadable"),
    "text.pdf": of(lambda: b"not a PDF", "unreadable"),
    "text.docx": of(lambda: b"not a document", "unreadable"),
    "zip.html": of(lambda: b"\x1f\x8b\x08\x00 packed", "unsupported-media-type"),
    "program.txt": of(lambda: b"\x7fELF" + bytes(1000), "unsupported-media-type"),
    "bomb.eml": of(lambda: mail("x", (archives.ratio_bomb(), "x.docx")).as_bytes(), "decompression-bomb"),
    "locked.eml": of(lambda: mail("x", (pdfs.locked(), "x.pdf")).as_bytes(), "encrypted"),
    "deep.eml": of(lambda: mail_in_mail(30), "unreadable"),
    "parts.eml": of(lambda: mail_of_parts(10_000), "no-text", "parse-cpu"),
}
FILES: Mapping[str, Hostile] = {**ARCHIVES, **PDFS, **TEXTS}
"""Each is rejected."""

HARMLESS: Mapping[str, tuple[Callable[[], bytes], str]] = {
    "outline.pdf": (pdfs.outline_cycle, "A page with an outline that never ends."),
    "pictures.eml": (lambda: mail("mills", (b"\x89PNG" + bytes(99), "x.png")).as_bytes(), "A letter about mills."),
    "mails.eml": (lambda: mail_in_mail(3), "A letter about bottom."),
    "cycle.eml": (mail_in_itself, "bottom"),
    "merged.xlsx": (lambda: sheet("x", after='<mergeCells><mergeCell ref="A1:XFD1048576"/></mergeCells>'), "x"),
    "dimension.xlsx": (lambda: sheet("x", before='<dimension ref="A1:XFD1048576"/>'), "x"),
    "far.xlsx": (lambda: xlsx(FAR), "z"),
    "spans.html": (lambda: b"<table><tr><td colspan=1000000000 rowspan=1000000000>x</td></tr></table>", "x"),
    "columns.csv": (lambda: b",".join(b"%d" % n for n in range(1_000_000)) + b"\n1", "999999"),
    "laughs.html": (f"{LAUGHS}<p>&a9; top</p>".encode, "top"),
}
"""Each claims something monstrous that reading it does not need, and is read."""

SLOW = frozenset(["endless-pages.pdf", "line.html", "line.json", "line.eml", "parts.eml", "far.xlsx"])
"""They take seconds to build or to see through."""
