"""The commands of the documentation, and which of them can run here.

A block of commands is `console`, each command after `$ `, the rest what it prints. It is run by
tests/infra/test_commands.py, or its first line says why not: `# needs a cluster`. A command that stands between
backticks in a sentence may lack its arguments; what can be run of these is run, too.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

CHECKOUT = Path(__file__).parent.parent
PAGES = [
    page
    for page in (
        CHECKOUT / "README.md",
        CHECKOUT / "CONTRIBUTING.md",
        *sorted((CHECKOUT / "docs").rglob("*.md")),
        *sorted((CHECKOUT / "infra").rglob("*.md")),
    )
    if page.exists()  # beside an installed wheel they do not
]
NEEDS = ("a cluster", "an AWS account", "Docker", "a TEI server", "a data set")
"""What no machine of the tests has."""
FENCED = re.compile(r"^```(?P<language>.*)\n(?P<body>(?:.*\n)*?)```$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Block:
    """What stands between two fences."""

    line: int
    """Of its first fence."""
    language: str
    lines: Sequence[str]

    @property
    def needs(self) -> str:
        """What its commands cannot run without; empty: nothing that is not here."""
        return self.lines[0].removeprefix("# needs ") if self.lines[0].startswith("# needs ") else ""

    @property
    def commands(self) -> Sequence[str]:
        return [line.removeprefix("$ ") for line in self.lines if line.startswith("$ ")]

    @property
    def printed(self) -> Sequence[str]:
        return [line for line in self.lines if not line.startswith(("$ ", "# needs "))]


def blocks(page: Path) -> Iterator[Block]:
    """The blocks of a page, in its order."""
    text = page.read_text()
    for found in FENCED.finditer(text):
        yield Block(text.count("\n", 0, found.start()) + 1, found["language"], found["body"].splitlines())


def in_sentences(page: Path) -> Sequence[str]:
    """What stands between backticks outside of blocks, each on a line."""
    return [" ".join(code.split()) for code in re.findall(r"`([^`]+)`", FENCED.sub("", page.read_text()))]
