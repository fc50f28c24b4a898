"""How much one document may hold."""

from collections.abc import Iterable, Iterator
from typing import Final

from processors.errors import Poison
from processors.ports import Element

MAX_PAGES: Final = 10_000
"""pypdf reads some 300 in a second of CPU time."""
MAX_CHARS: Final = 30_000_000
"""The longest text that a document's 20,000 chunks can hold."""
MAX_ELEMENTS: Final = 250_000
"""As many as a text of that length has lines."""


def check_pages(pages: int, filename: str) -> None:
    """Poison: `too-many-pages`."""
    if pages > MAX_PAGES:
        raise Poison("too-many-pages", f"{filename!r} has {pages:,} pages; at most {MAX_PAGES:,} are read: split it")


def check_chars(chars: int, filename: str) -> None:
    """Poison: `too-much-text`."""
    if chars > MAX_CHARS:
        raise Poison(
            "too-much-text", f"{filename!r} has over {MAX_CHARS:,} characters of text, the most that is read: split it"
        )


def within(elements: Iterable[Element], filename: str) -> Iterator[Element]:
    """The same elements, for as long as there are not too many. Poison: `too-many-elements`, `too-much-text`."""
    chars = 0
    for number, element in enumerate(elements, start=1):
        if number > MAX_ELEMENTS:
            raise Poison(
                "too-many-elements",
                f"{filename!r} has over {MAX_ELEMENTS:,} paragraphs, list items and tables, the most that are read: "
                "split it",
            )
        chars += len(element.text)
        check_chars(chars, filename)
        yield element
