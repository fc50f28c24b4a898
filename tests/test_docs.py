"""What the documentation names exists: commands, options, targets, settings, files, headings."""

import re
import shlex
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

import pytest

from streams.cli import COMMANDS, Lazy, load
from streams.settings import Settings
from tests.blocks import CHECKOUT, FENCED, NEEDS, PAGES, blocks, in_sentences

MAKEFILE = CHECKOUT / "Makefile"
LANGUAGES = {"console", "text", "python", "json", "toml", "yaml"}

pytestmark = pytest.mark.skipif(not MAKEFILE.exists(), reason="an installed wheel has no docs")


@pytest.fixture(params=PAGES, ids=lambda page: f"{page.parent.name}/{page.stem}")
def page(request: pytest.FixtureRequest) -> Path:
    path: Path = request.param
    return path


def code(page: Path) -> str:
    """Everything between backticks, and every command of a block, a line each."""
    return "\n".join([*in_sentences(page), *(command for block in blocks(page) for command in block.commands)])


def test_every_command_exists(page: Path) -> None:
    for word, further in re.findall(r"(?:^|\s)headwater ([a-z]+)(?: ([a-z]+))?", code(page)):
        assert word in COMMANDS, f"headwater {word}"
        if isinstance(COMMANDS[word], Mapping) and further:
            assert further in COMMANDS[word], f"headwater {word} {further}"  # type: ignore[operator]  # just checked


def test_every_option_exists(page: Path) -> None:
    for line in re.findall(r"(?:^| -- )(headwater .*)", code(page), re.MULTILINE):
        _, word, *rest = line.split()
        entry = COMMANDS.get(word)
        if isinstance(entry, Mapping) and rest:
            entry = entry.get(rest[0])
        if isinstance(entry, Lazy):
            known = {
                "--help",
                *(option for each in load(word, entry).params for option in each.opts + each.secondary_opts),
            }
            assert {each for each in rest if each.startswith("--")} <= known, line


def test_every_module_exists(page: Path) -> None:
    for module in re.findall(r"python -m (\w+(?:\.\w+)*)", code(page)):
        assert find_spec(module), f"python -m {module}"


def test_every_block_says_whether_it_can_be_run(page: Path) -> None:
    for block in blocks(page):
        where = f"{page.name}:{block.line}"
        assert block.language in LANGUAGES, f"{where}: a block of commands is `console`, each command after `$ `"
        if block.language == "console":
            assert block.commands, where
            assert not block.needs or block.needs in NEEDS, f"{where}: none of {NEEDS}"
            assert block.needs or block.lines[0].startswith("$ "), where
    assert "```" not in FENCED.sub("", page.read_text()), "a block that is indented, or not closed"


def test_every_path_in_a_command_exists(page: Path) -> None:
    for command in (command for block in blocks(page) for command in block.commands):
        for path in re.findall(r"(?<= )(?:docs|examples|infra)/\S+", command):
            assert (CHECKOUT / path).exists(), path


def test_every_target_exists(page: Path) -> None:
    targets = set(re.findall(r"^([a-z]+):", MAKEFILE.read_text(), re.MULTILINE))
    assert set(re.findall(r"(?:^|\n)make ([a-z]+)", code(page))) <= targets


def test_every_setting_exists(page: Path) -> None:
    known = {f"HEADWATER_{name.upper()}" for name in Settings.model_fields}
    named = set(re.findall(r"HEADWATER_[A-Z0-9]+(?:_[A-Z0-9]+)*", page.read_text()))
    assert named <= known


def test_every_value_of_a_setting_is_accepted(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for each in in_sentences(page):
        if re.match(r"HEADWATER_\w+=\S", each):
            [assigned] = shlex.split(each.replace(r"\|", "|"))  # a bar in a table
            name, _, value = assigned.partition("=")
            with monkeypatch.context() as patch:
                patch.setenv(name, value)
                Settings()


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
