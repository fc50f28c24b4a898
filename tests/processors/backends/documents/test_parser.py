"""The parser with its reading processes."""

import asyncio
import io
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest
import pytest_asyncio
from pypdf import PdfWriter

from processors.backends.documents.parser import DocumentParser, Limits
from processors.backends.documents.readers import unstructured
from processors.errors import Poison
from processors.ports import Element
from tests.processors.parser_contract import EXAMPLES, ParserContract

LONG = b"<p>A sentence that takes its time.</p>" * 60_000

WORKER = """
import asyncio, sys
from pathlib import Path
from processors.backends.documents.parser import DocumentParser

async def main():
    parser = DocumentParser()
    await parser.open()
    await parser.parse(Path(sys.argv[1]).read_bytes(), media_type="", filename="x.pdf")
    print(sorted({"unstructured", "pypdf", "spacy"} & set(sys.modules)), flush=True)
    await parser.parse(b"<p>A sentence.</p>" * 500_000, media_type="", filename="x.html")

asyncio.run(main())
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def parser() -> AsyncIterator[DocumentParser]:
    """One for all tests: whatever a document did, the next one must be read."""
    parser = DocumentParser()
    await parser.open()
    yield parser
    await parser.close()


@pytest.mark.asyncio(loop_scope="module")
async def test_a_reading_process_knows_no_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADWATER_INDEX_TOKEN", "hunter2")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hunter2")
    parser = DocumentParser()
    await parser.open()
    [child] = parser._processes._idle
    assert "hunter2" not in psutil.Process(child.process.pid).environ().values()
    await parser.close()


@pytest.mark.asyncio(loop_scope="module")
class TestDocumentParser(ParserContract):
    async def test_titles_keep_their_depth(self, parser: DocumentParser) -> None:
        page = b"<h1>A</h1><p>one</p><h3>B</h3><p>two</p><h2>C</h2><p>three</p>"
        markdown = b"# A\n\none\n\n### B\n\ntwo\n\n## C\n\nthree\n"
        for data, name in ((page, "x.html"), (markdown, "x.md")):
            elements = await self.read(parser, data, name)
            assert [(e.text, e.depth) for e in elements if e.kind == "title"] == [("A", 0), ("B", 2), ("C", 1)]

    async def test_code_and_lists_and_tables_keep_their_form(self, parser: DocumentParser) -> None:
        markdown = b"- first\n- second\n\n```\na = 1\n\n  b = 2\n```\n\n| Part | Stock |\n|---|---|\n| Relay | 8 |\n"
        assert await self.read(parser, markdown, "x.md") == [
            Element(kind="list-item", text="first"),
            Element(kind="list-item", text="second"),
            Element(kind="code", text="a = 1\n\n  b = 2"),
            Element(kind="table", text="Part: Relay; Stock: 8"),
        ]

    async def test_records_in_json_stay_together(self, parser: DocumentParser) -> None:
        alarms = b'{"alarms": [{"name": "oil", "limit": "38 bar"}, {"name": "brake", "limit": "none", "when": []}]}'
        records = b'[{"name": "oil", "limit": 38}, 7]'
        assert [element.text for element in await self.read(parser, alarms, "x.json")] == [
            "alarms name: oil; limit: 38 bar\nalarms name: brake\nalarms limit: none"
        ]
        assert [element.text for element in await self.read(parser, records, "x.json")] == ["name: oil; limit: 38", "7"]

    async def test_pdf_pages_count_from_one(self, parser: DocumentParser) -> None:
        elements = await self.read(parser, (EXAMPLES / "documents/night-shift.pdf").read_bytes(), "x.pdf")
        assert elements[0] == Element(kind="title", text="Night shift guide", page=1)
        assert {element.page for element in elements} == {1, 2}
        assert all("\n" not in element.text for element in elements)

    async def test_a_scanned_pdf_is_told_which_extra_reads_it(self, parser: DocumentParser) -> None:
        scan = io.BytesIO()
        writer = PdfWriter()
        writer.add_blank_page(200, 200)
        writer.write(scan)
        with pytest.raises(Poison, match=r"no-text.*pdf=hires"):
            await self.read(parser, scan.getvalue(), "scan.pdf")

    async def test_slides_have_pages_and_titles(self, parser: DocumentParser) -> None:
        elements = await self.read(parser, (EXAMPLES / "documents/visitor-briefing.pptx").read_bytes(), "x.pptx")
        assert [e.page for e in elements if e.kind == "title"] == [1, 2, 3, 4, 5]

    async def test_a_mail_begins_with_its_subject_and_its_sender(self, parser: DocumentParser) -> None:
        elements = await self.read(parser, (EXAMPLES / "documents/power-failure.eml").read_bytes(), "x.eml")
        assert elements[0] == Element(kind="title", text="Power failure in the night of 14 March")
        assert "ines.calloway@kestrelridge.example" in elements[1].text

    async def test_a_reader_that_dies_costs_its_document_alone(self, parser: DocumentParser) -> None:
        reading = asyncio.create_task(self.read(parser, LONG, "long.html"))
        child = await _busy_child(parser)
        child.kill()
        with pytest.raises(Poison, match=r"parse-memory.*was killed"):
            await reading
        assert await self.read(parser, b"next", "next.txt")

    async def test_a_cancelled_document_leaves_no_reader_behind(self, parser: DocumentParser) -> None:
        reading = asyncio.create_task(self.read(parser, LONG, "long.html"))
        child = await _busy_child(parser)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        assert not child.is_running()
        assert await self.read(parser, b"next", "next.txt")


async def test_a_document_over_its_time_is_poison_and_its_reader_is_killed() -> None:
    before = psutil.Process().children()
    parser = DocumentParser(limits=Limits(wall_s=0.05), processes=1)
    with pytest.raises(Poison, match="parse-timeout"):
        await parser.parse(LONG, media_type="", filename="long.html")
    parser.limits = Limits()
    assert await parser.parse(b"next", media_type="", filename="next.txt")
    assert len(psutil.Process().children()) == len(before) + 1
    await parser.close()
    await parser.close()
    assert psutil.Process().children() == before


def test_no_time_goes_into_finding_the_language(monkeypatch: pytest.MonkeyPatch) -> None:
    lang = pytest.importorskip("unstructured.partition.common.lang")
    monkeypatch.setattr(lang, "detect_languages", lambda **_: pytest.fail("asked for the language"))
    text = "# Report\n\nThe first sentence is English.\n\nLa deuxième est en français.\n".encode()
    found = list(unstructured.read(text, media_type="text/markdown", charset="utf-8", filename="r.md"))
    assert [element.kind for element in found] == ["title", "text", "text"]


async def test_a_missing_extra_is_named() -> None:
    with pytest.raises(Poison, match=r"headwater\[hires\]"):
        await DocumentParser("embedded://unstructured?pdf=hires").open()


def test_a_killed_worker_leaves_no_reader_and_had_imported_none(tmp_path: Path) -> None:
    """The reader is in the middle of a document when its worker goes."""
    command = [sys.executable, "-c", WORKER, str(EXAMPLES / "documents/night-shift.pdf")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as worker:
        assert worker.stdout
        assert worker.stdout.readline() == "[]\n"
        children = psutil.Process(worker.pid).children(recursive=True)
        worker.send_signal(signal.SIGKILL)
    assert children
    assert not psutil.wait_procs(children, timeout=10)[1]


async def _busy_child(parser: DocumentParser) -> psutil.Process:
    """The process that reads the only document in flight."""
    async with asyncio.timeout(30):
        while not parser._processes._busy:  # noqa: ASYNC110 - the parser tells nobody
            await asyncio.sleep(0.01)
    (child,) = parser._processes._busy
    return psutil.Process(child.process.pid)
