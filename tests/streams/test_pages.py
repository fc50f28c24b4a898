"""What the documentation says about the code is made from the code."""

import ast
import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path

import pytest

from schemas import EVENTS
from streams import pages, pipelines
from streams.composition import Backends
from streams.drawing import draw, ports
from streams.settings import Settings
from streams.topics import TOPICS

CHECKOUT = Path(__file__).parent.parent.parent
WIRE = pages.DOCS / "wire.md"
AT_START = {
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
"""Codes of a worker that cannot start; nobody meets them on the wire."""
INSIDE = {"unknown-partition"}
"""The engine's word; stages say `reply-unreachable`."""

pytestmark = pytest.mark.skipif(not pages.DOCS.is_dir(), reason="an installed wheel has no docs")


@pytest.fixture(scope="module")
def flow() -> str:
    return pages.pages()[pages.DOCS / "flow.svg"]


def test_committed_pages_are_fresh() -> None:
    assert pages.main(["--check"]) == 0, "run `python -m streams.pages`"


def test_a_stale_page_is_named_and_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "wire.md").write_text("<!-- generated: topics -->\nold\n<!-- end -->\n")
    (tmp_path / "sizing.md").write_text("<!-- generated: figures -->\nold\n<!-- end -->\n")
    monkeypatch.setattr(pages.pages, "__defaults__", (tmp_path, tmp_path))
    assert pages.main(["--check"]) == 1
    assert f"stale: {tmp_path / 'wire.md'}" in capsys.readouterr().out
    assert pages.main([]) == 0
    assert "`documents`" in (tmp_path / "wire.md").read_text()
    assert "`utilisation`" in (tmp_path / "sizing.md").read_text()
    assert pages.main(["--check"]) == 0


def test_a_part_that_nothing_makes_is_an_error() -> None:
    with pytest.raises(KeyError, match="no-such-part"):
        pages.filled("<!-- generated: no-such-part -->\n<!-- end -->\n")


def test_every_event_has_an_example_on_the_page() -> None:
    named = set(re.findall(r"<!-- generated: (\S+)", WIRE.read_text()))
    assert {event.ce_type for event in EVENTS} <= named


def test_every_code_on_the_wire_is_explained() -> None:
    rows = re.findall(r"^\| (`[^|]+) \|", WIRE.read_text().partition("## Codes")[2], re.MULTILINE)
    explained = {code for row in rows for code in re.findall(r"`([a-z-]+)`", row)}
    raised = raised_codes()
    assert {"schema", "encrypted", "superseded", "weak-evidence", "cancelled"} <= raised
    assert raised - AT_START - INSIDE - explained == set()
    assert explained - raised == set()


def raised_codes() -> set[str]:
    """Constants that are the code of a Poison, a NotYet, an Interrupted, a rejection or a refusal."""
    sources = [*(CHECKOUT / "processors").rglob("*.py"), *(CHECKOUT / "streams" / "runtime").rglob("*.py")]
    trees = [ast.parse(source.read_text()) for source in sources]
    return {code for tree in trees for node in ast.walk(tree) for code in codes_in(node)}


def codes_in(node: ast.AST) -> Iterator[str]:
    match node:
        case ast.Call(func=ast.Name(id="Poison" | "Interrupted" | "NotYet"), args=[ast.Constant(value=str(code)), *_]):
            yield code
        case ast.Call(func=ast.Name(id="_rejected" | "_Hopeless"), args=[_, ast.Constant(value=str(code)), *_]):
            yield code
        case ast.Assign(
            targets=[ast.Tuple(elts=[ast.Name(id="code"), *_])],
            value=ast.Tuple(elts=[ast.Constant(value=str(code)), *_]),
        ):
            yield code
        case ast.Assign(targets=[ast.Name(id="code" | "OVERLOADED")], value=ast.Constant(value=str(code))):
            yield code


def test_the_picture_is_well_formed_and_names_everything(flow: str) -> None:
    words = " ".join(ET.fromstring(flow).itertext())
    settings = Settings()
    backends = Backends(settings)
    for pipeline in (pipelines.ingest(backends, settings), pipelines.query(backends, settings)):
        for stage in pipeline.stages:
            assert stage.name in words
            assert ports(stage), f"stage {stage.name} without a port"
    for topic in TOPICS:
        assert f" {topic.name} " in words.replace("\n", " ")
        assert (topic.dead_letter_name in words) == topic.dead_letters


def test_the_picture_follows_the_wiring() -> None:
    settings = Settings()
    backends = Backends(settings)
    ingest, query = pipelines.ingest(backends, settings), pipelines.query(backends, settings)
    assert draw(ingest, query) != draw(query, ingest)


def test_the_picture_fetches_nothing_and_follows_the_theme(flow: str) -> None:
    assert "prefers-color-scheme: dark" in flow
    assert re.findall(r"https?://[^\"]+", flow) == ["http://www.w3.org/2000/svg"]
