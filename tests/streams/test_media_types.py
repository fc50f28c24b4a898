"""Media types by name, the same on every machine."""

import pytest

from processors.backends.documents.readers.detection import EXTENSIONS
from streams.media_types import BY_SUFFIX, media_type_of


@pytest.mark.parametrize(
    ("filename", "media_type"),
    [
        ("notes.MD", "text/markdown"),
        ("a.b.pdf", "application/pdf"),
        ("Makefile", "application/octet-stream"),
        ("archive.tar.gz", "application/octet-stream"),
        ("", "application/octet-stream"),
    ],
)
def test_the_last_suffix_decides_whatever_its_case(filename: str, media_type: str) -> None:
    assert media_type_of(filename) == media_type


def test_the_parser_reads_the_same_names() -> None:
    assert BY_SUFFIX == EXTENSIONS
