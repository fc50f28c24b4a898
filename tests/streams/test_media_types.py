"""Media types by name, the same on every machine."""

import pytest

from streams.media_types import media_type_of


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
