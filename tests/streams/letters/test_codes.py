"""The codes by which letters are chosen are those that stages really say."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from streams import pipelines
from streams.letters.codes import CODES

CHECKOUT = Path(__file__).parent.parent.parent.parent
INSTALLED = Path(pipelines.__file__).parent.parent
IN_NO_LETTER = {
    "unknown-partition",  # the broker's word for an address; a stage says `reply-unreachable`
    "bad-ca-file",
    "bad-key",
    "bad-url",
    "client-missing",
    "model-config",
    "model-missing",
    "model-unusable",
    "parser-missing",
    "store-unusable",
    "unknown-dialect",
    "unknown-model",
}
"""Otherwise what keeps a backend from opening, which ends the worker."""


def test_the_codes_are_those_of_the_page() -> None:
    page = (CHECKOUT / "docs" / "wire.md").read_text(encoding="utf-8")
    table = page.partition("\n## Codes\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (`[^|]+) \|", table, re.MULTILINE)
    assert [code for row in rows for code in re.findall(r"`([a-z-]+)`", row)] == list(CODES)


def test_no_stage_says_another_code() -> None:
    said = {code for folder in ("processors", "streams/runtime") for code in raised(INSTALLED / folder)}
    assert {"unreadable", "not-visible", "no-output"} <= said
    assert said - IN_NO_LETTER <= set(CODES)


def raised(folder: Path) -> Iterator[str]:
    """The codes that are written out where Poison or NotYet is made."""
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            match node:
                case ast.Call(func=ast.Name(id="Poison" | "NotYet"), args=[ast.Constant(value=str(code)), *_]):
                    yield code
