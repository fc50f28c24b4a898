"""What the documentation names exists: commands, targets, settings, files, headings."""

import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from streams.cli import COMMANDS
from streams.settings import Settings

CHECKOUT = Path(__file__).parent.parent
PAGES = [CHECKOUT / "README.md", CHECKOUT / "CONTRIBUTING.md", *(CHECKOUT / "docs").rglob("*.md")]
MAKEFILE = CHECKOUT / "Makefile"

pytestmark = pytest.mark.skipif(not MAKEFILE.exists(), reason="an installed wheel has no docs")


@pytest.fixture(params=[page for page in PAGES if page.exists()], ids=lambda page: page.stem)
def page(request: pytest.FixtureRequest) -> Path:
    path: Path = request.param
    return path


def code(page: Path) -> str:
    """Everything between backticks, and every indented or fenced line that a shell would read."""
    text = page.read_text()
    return "\n".join([*re.findall(r"`([^`\n]+)`", text), *re.findall(r"^\s*\$ (.+)$", text, re.MULTILINE)])


def test_every_command_exists(page: Path) -> None:
    for word, further in re.findall(r"(?:^|\s)headwater ([a-z]+)(?: ([a-z]+))?", code(page)):
        assert word in COMMANDS, f"headwater {word}"
        if isinstance(COMMANDS[word], Mapping) and further:
            assert further in COMMANDS[word], f"headwater {word} {further}"  # type: ignore[operator]  # just checked


def test_every_target_exists(page: Path) -> None:
    targets = set(re.findall(r"^([a-z]+):", MAKEFILE.read_text(), re.MULTILINE))
    assert set(re.findall(r"(?:^|\n)make ([a-z]+)", code(page))) <= targets


def test_every_setting_exists(page: Path) -> None:
    known = {f"HEADWATER_{name.upper()}" for name in Settings.model_fields}
    named = set(re.findall(r"HEADWATER_[A-Z0-9]+(?:_[A-Z0-9]+)*", page.read_text()))
    assert named <= known


def test_every_link_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]*(?:#[^)\s]*)?)\)", page.read_text()):
        if target.startswith(("http:", "https:")):
            continue
        file, _, heading = target.partition("#")
        there = (page.parent / file).resolve() if file else page
        assert there.exists(), target
        if heading:
            assert heading in headings(there), target


def headings(page: Path) -> set[str]:
    """Anchors as GitHub makes them."""
    titles = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^a-z0-9 -]", "", title.lower()).replace(" ", "-") for title in titles}
