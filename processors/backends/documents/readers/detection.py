"""Which format a file is in: its content first, then what it was declared as, then its name."""

from pathlib import PurePosixPath
from typing import Final

from processors.backends.documents.readers import archives
from processors.errors import Poison

PDF: Final = "application/pdf"
DOCX: Final = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
PPTX: Final = "application/vnd.openxmlformats-officedocument.presentationml.presentation"
XLSX: Final = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
HTML: Final = "text/html"
MARKDOWN: Final = "text/markdown"
EMAIL: Final = "message/rfc822"
CSV: Final = "text/csv"
TEXT: Final = "text/plain"
JSON: Final = "application/json"

EXTENSIONS: Final = {
    ".pdf": PDF,
    ".docx": DOCX,
    ".pptx": PPTX,
    ".xlsx": XLSX,
    ".html": HTML,
    ".htm": HTML,
    ".md": MARKDOWN,
    ".markdown": MARKDOWN,
    ".eml": EMAIL,
    ".csv": CSV,
    ".txt": TEXT,
    ".text": TEXT,
    ".log": TEXT,
    ".json": JSON,
}
SUPPORTED: Final = frozenset(EXTENSIONS.values())
ALIASES: Final = {
    "application/csv": CSV,
    "application/xhtml+xml": HTML,
    "application/x-pdf": PDF,
    "text/json": JSON,
    "text/x-markdown": MARKDOWN,
}
ZIPPED: Final = {DOCX: "word/", PPTX: "ppt/", XLSX: "xl/"}
UNDECLARED: Final = ("", "application/octet-stream", "binary/octet-stream", "application/zip")
OLE: Final = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
FOREIGN: Final = (
    b"\x89PNG",
    b"\xff\xd8\xff",
    b"GIF8",
    b"\x7fELF",
    b"\x1f\x8b",
    b"7z\xbc\xaf",
    b"Rar!",
    b"{\\rtf",
    b"MZ",
)


def detect(data: bytes, *, media_type: str, filename: str) -> str:
    """The media type to read `data` as. Poison: `encrypted`, `unreadable`, `unsupported-media-type`."""
    declared = _declared(media_type, filename)
    head = data[:1024].lstrip(b"\xef\xbb\xbf \t\r\n")
    if head.startswith(b"%PDF-") or b"\n%PDF-" in data[:1024]:
        return PDF
    if data.startswith(OLE):
        raise _compound(data, filename)
    if data.startswith(b"PK\x03\x04"):
        return _zipped(data, declared, filename)
    if data.startswith(FOREIGN):
        raise _unsupported(f"{filename!r} is not a format that can be read", media_type)
    if declared in ZIPPED or declared == PDF:
        what = "a PDF file" if declared == PDF else "an Office file, which is a zip archive"
        raise Poison("unreadable", f"{filename!r} does not begin like {what}: it is cut off, damaged or misnamed")
    if declared:
        return declared
    nameless = media_type.partition(";")[0].strip().lower() in UNDECLARED and not PurePosixPath(filename).suffix
    if nameless and b"\0" not in data[:1024]:
        return HTML if head[:14].lower().startswith((b"<!doctype html", b"<html")) else TEXT
    raise _unsupported(f"{filename!r} has an unknown type", media_type)


def _declared(media_type: str, filename: str) -> str:
    """The supported type that the sender names, by media type or by file name; else nothing."""
    bare = media_type.partition(";")[0].strip().lower()
    bare = ALIASES.get(bare, bare)
    by_name = EXTENSIONS.get(PurePosixPath(filename).suffix.lower(), "")
    return bare if bare in SUPPORTED else by_name


def _zipped(data: bytes, declared: str, filename: str) -> str:
    names = archives.names(data, filename)
    for media_type, folder in ZIPPED.items():
        if any(name.startswith(folder) for name in names):
            return media_type
    if declared in ZIPPED:
        raise Poison("unreadable", f"{filename!r} is a zip archive without an Office document in it")
    raise Poison("unsupported-media-type", f"{filename!r} is a zip archive: publish the files in it one by one")


def _compound(data: bytes, filename: str) -> Poison:
    """Office's older container: either a password-protected new file or a file of before 2007."""
    if "EncryptedPackage".encode("utf-16-le") in data:
        return Poison("encrypted", f"{filename!r} is protected by a password: publish it without one")
    what = "is in an Office format of before 2007: save it as docx, pptx or xlsx"
    return Poison("unsupported-media-type", f"{filename!r} {what}")


def _unsupported(what: str, media_type: str) -> Poison:
    declared = f" (declared as {media_type!r})" if media_type not in UNDECLARED else ""
    return Poison("unsupported-media-type", f"{what}{declared}: convert it to one of {', '.join(EXTENSIONS)}")
