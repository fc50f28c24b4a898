"""Every command of the documentation that can run on this machine runs, and prints what its page shows.

A page is a session: its blocks run in their order, each in the root of a checkout, against one local stack with the
example documents in it. Blocks that begin with `# needs ...` are left out; tests/test_docs.py holds them to a list.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

import pytest

from infra.terraform import offline
from streams.cli.problems import USAGE
from tests.blocks import CHECKOUT, PAGES, Block, blocks, in_sentences
from tests.infra.manifests import rendered
from tests.servers.own import own_stack

pytestmark = [pytest.mark.infra, pytest.mark.stack, pytest.mark.timeout(600)]

README = CHECKOUT / "README.md"
MADE = {"make demo": "bash examples/demo.sh", "make test": "true"}
"""What `make` does once all is installed, which it is. All tests run after these in CI, and not within them."""
NAMED = re.compile(r"(?<= )(?=([a-z]+)[/ ]([a-z][a-z0-9-]*))")
"""`deployment/upsert` and `kafkatopic documents`, as kubectl takes them."""
BY_THEMSELVES = re.compile(r"headwater (?!up\b|down\b|worker\b|schemas export\b)[a-z][a-z -]*")
"""Commands in sentences that are whole, but for those that would end the session, never end, or write a checkout."""
READY = ("headwater up", "headwater ingest examples/documents")
ASKS_NOBODY = re.compile(r"cd |export |terraform |kubectl kustomize |headwater size ")
"""A page of such commands needs no stack."""


def executed(page: Path) -> Sequence[Block]:
    return [block for block in blocks(page) if block.language == "console" and not block.needs]


class Session:
    """A checkout's root to type commands in, and the settings of a local stack that they may start."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "checkout"
        for name in ("examples", "infra"):
            shutil.copytree(CHECKOUT / name, self._folder / name, ignore=shutil.ignore_patterns(".terraform*", "__py*"))
        self._environment = {
            **os.environ,
            **own_stack(folder / "home").environment,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PYTHONPATH": str(CHECKOUT),
            "CHECKPOINT_DISABLE": "1",  # Terraform would ask its makers for a newer one
        }

    def export(self, name: str, value: str) -> None:
        self._environment[name] = value

    def type(self, commands: Sequence[str], exit_codes: Collection[int] = (0,)) -> str:
        """What they print; the first that fails ends them, and the test."""
        done = subprocess.run(
            ["bash", "-euxo", "pipefail", "-c", "\n".join(commands)],
            cwd=self._folder,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode in exit_codes, done.stdout + done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def session() -> Iterator[Session]:
    with tempfile.TemporaryDirectory(prefix="headwater-", ignore_cleanup_errors=True) as folder:
        typing = Session(Path(folder))
        yield typing
        typing.type(["headwater down"])


def test_the_demo_prints_what_the_readme_shows(session: Session) -> None:
    printed = "".join(
        session.type([MADE.get(command, command) for command in block.commands]) for block in executed(README)
    )
    [shown] = [block for block in blocks(README) if block.language == "text"]
    assert absent(shown.lines, printed) == []


@pytest.mark.parametrize(
    "page",
    [page for page in PAGES if page != README and executed(page)],
    ids=lambda page: page.parent.name + "/" + page.stem,
)
def test_the_commands_of_a_page_work_and_print_what_it_shows(page: Path, session: Session) -> None:
    commands = [command for block in executed(page) for command in block.commands]
    skip_without_programs(commands, session)
    if not all(ASKS_NOBODY.match(command) for command in commands):
        session.type(READY)
    for block in executed(page):
        assert absent(block.printed, session.type(block.commands)) == [], f"{page.name}:{block.line}"


def skip_without_programs(commands: Sequence[str], session: Session) -> None:
    """Skip, and say why, where a tool is missing that a machine need not have."""
    for tool in ("kubectl", "terraform"):
        if shutil.which(tool) is None and any(command.startswith(f"{tool} ") for command in commands):
            pytest.skip(f"no {tool} on the PATH: the commands of this page are not run")
    if any("$TF_PLUGIN_DIR" in command for command in commands):
        try:
            session.export("TF_PLUGIN_DIR", str(offline.plugin_folder()))
        except offline.Unavailable as missing:
            pytest.skip(str(missing))


def test_what_sentences_name_works_by_itself_or_lacks_its_arguments(session: Session) -> None:
    session.type(READY)
    for command in sorted({code for page in PAGES for code in in_sentences(page) if BY_THEMSELVES.fullmatch(code)}):
        session.type([command], exit_codes=(0, USAGE))


def test_what_commands_for_a_cluster_name_is_in_an_overlay() -> None:
    objects = [each for overlay in ("overlays/dev", "overlays/prod") for each in rendered(overlay)]
    there = {(each["kind"].lower(), each["metadata"]["name"]) for each in objects}
    commands = [command for page in PAGES for block in blocks(page) if block.needs for command in block.commands]
    named = {pair for command in commands if command.startswith("kubectl ") for pair in NAMED.findall(command)}
    of_ours = {(kind, name) for kind, name in named if kind in {kind for kind, _ in there}}
    assert of_ours
    assert of_ours <= there


def absent(shown: Sequence[str], printed: str) -> Sequence[str]:
    """Lines of a page whose first words were not printed; figures, bars and where lines break are a machine's own."""
    there = " ".join(comparable(printed))
    return [line for line in shown if " ".join(comparable(line)[:3]) not in there]


def comparable(text: str) -> Sequence[str]:
    words = (re.sub(r"[0-9a-f]{32}|\d[\d.,]*", "N", word) for word in text.split())
    return [word for word in words if word.isascii() and word != "..."]
