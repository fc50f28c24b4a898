"""Media types by file name, the same on every machine."""

from pathlib import PurePath

BY_SUFFIX = {
    ".txt": "text/plain",
    ".text": "text/plain",
    ".log": "text/plain",
    ".md": "text/markdown",
    ".markdown": "text/markdown",
    ".html": "text/html",
    ".htm": "text/html",
    ".csv": "text/csv",
    ".json": "application/json",
    ".pdf": "application/pdf",
    ".eml": "message/rfc822",
    ".docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    ".pptx": "application/vnd.openxmlformats-officedocument.presentationml.presentation",
    ".xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}
UNKNOWN = "application/octet-stream"
"""The parser decides by the content's signature, then by the file name."""


def media_type_of(filename: str) -> str:
    """What a file of this name most likely holds."""
    return BY_SUFFIX.get(PurePath(filename).suffix.lower(), UNKNOWN)
