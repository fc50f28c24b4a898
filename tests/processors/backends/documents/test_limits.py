"""What one document may cost and hold, with real files at the limits."""

import asyncio
import math
import signal
from collections.abc import AsyncIterator

import psutil
import pytest
import pytest_asyncio

from processors import memory
from processors.backends.documents import parser as module
from processors.backends.documents.parser import MIB, DocumentParser, Limits
from processors.backends.documents.readers import archives, child
from processors.errors import Poison
from tests.processors.parser_contract import DOCUMENTS, archive

TABLE = b"part,stock\n" + b"relay,8\n" * 250_000
"""It takes half a second of processor time."""
LONG_TABLE = TABLE + b"relay,8\n" * 3_000_000
WIDE_TABLE = b"part,stock\n" + b"a,b,c,d,e,f,g,h,i,j\n" * 1_200_000
"""Its rows take more than 512 MiB."""


@pytest_asyncio.fixture
async def parser() -> AsyncIterator[DocumentParser]:
    parser = DocumentParser(processes=1)
    yield parser
    await parser.close()


async def read(parser: DocumentParser, data: bytes = b"next", name: str = "x.txt") -> psutil.Process:
    """Reads a document; the process that has read it."""
    assert await parser.parse(data, media_type="", filename=name)
    return process(parser)


def process(parser: DocumentParser) -> psutil.Process:
    [kept] = parser._processes._idle
    return psutil.Process(kept.process.pid)


def spent_s(process: psutil.Process) -> float:
    """Its processor time."""
    return sum(process.cpu_times()[:2])


async def replaced(parser: DocumentParser) -> psutil.Process:
    """The process that took the place of one that was ended."""
    async with asyncio.timeout(60):
        while not parser._processes._idle:  # noqa: ASYNC110 (the parser tells nobody)
            await asyncio.sleep(0.01)
    return process(parser)


async def test_processor_time_is_counted_for_each_document_alone(parser: DocumentParser) -> None:
    first = await read(parser)
    before = spent_s(first)
    await read(parser, TABLE, "table.csv")
    limit_s = math.ceil(3 * (spent_s(first) - before))  # a busy machine takes longer over the same work
    parser.limits = Limits(cpu_s=limit_s)
    while spent_s(first) < 1.5 * limit_s + before:
        assert await read(parser, TABLE, "table.csv") == first
    with pytest.raises(Poison, match=rf"parse-cpu.*'long\.csv' takes over {limit_s} s of processor time"):
        await parser.parse(LONG_TABLE, media_type="", filename="long.csv")
    assert await read(parser) != first


async def test_a_document_that_needs_too_much_memory_is_poison(parser: DocumentParser) -> None:
    parser.limits = Limits(memory_bytes=512 * MIB)
    with pytest.raises(Poison, match=r"parse-memory.*'wide\.csv'"):
        await parser.parse(WIDE_TABLE, media_type="", filename="wide.csv")
    await read(parser)


@pytest.mark.parametrize(
    ("container", "each"),
    [(512 * MIB, 512 * MIB), (4096 * MIB, 1024 * MIB), (65536 * MIB, 3072 * MIB)],
)
def test_memory_follows_the_container(container: int, each: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "limit_bytes", lambda: container)
    assert module._memory_share(2) == each


async def test_a_process_that_grew_is_replaced(parser: DocumentParser, monkeypatch: pytest.MonkeyPatch) -> None:
    first = await read(parser)
    monkeypatch.setattr(module, "GROWN_SHARE", 0.0)
    await parser.parse(b"next", media_type="", filename="x.txt")
    assert await replaced(parser) != first
    assert not first.is_running()


async def test_a_replacement_is_warm(parser: DocumentParser) -> None:
    first = await read(parser, b"<p>page</p>", "x.html")
    first.kill()
    with pytest.raises(Poison, match="parse-memory"):
        await parser.parse(b"next", media_type="", filename="x.txt")
    second = await replaced(parser)
    assert second != first
    assert any("lxml" in mapped.path for mapped in second.memory_maps())


async def test_a_process_that_ended_while_idle_costs_no_document(parser: DocumentParser) -> None:
    first = await read(parser)
    [kept] = parser._processes._idle
    first.kill()
    await kept.process.wait()
    assert await read(parser) != first


async def test_a_stop_that_is_told_to_every_process_lets_a_document_be_finished(parser: DocumentParser) -> None:
    first = await read(parser)
    for told_to_all in (signal.SIGINT, signal.SIGTERM):
        first.send_signal(told_to_all)
    assert await read(parser, TABLE, "table.csv") == first


async def test_no_replacement_outlives_its_parser() -> None:
    before = psutil.Process().children()
    parser = DocumentParser(limits=Limits(wall_s=0.0), processes=1)
    with pytest.raises(Poison, match="parse-timeout"):
        await parser.parse(b"next", media_type="", filename="x.txt")
    await parser.close()
    parser = DocumentParser(processes=1)
    reading = asyncio.create_task(parser.parse(LONG_TABLE, media_type="", filename="long.csv"))
    while not parser._processes._busy:  # noqa: ASYNC110 (the parser tells nobody)
        await asyncio.sleep(0.01)
    await parser.close()
    with pytest.raises(Poison):
        await reading
    assert not parser._processes._replacing
    assert psutil.Process().children() == before


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"word " * 6_000_000, None),
        (b"word " * 6_000_000 + b"x", "too-much-text"),
        (b"a\n\n" * 249_999 + b"b", None),
        (b"a\n\n" * 250_000 + b"b", "too-many-elements"),
    ],
    ids=["text", "too much text", "elements", "too many elements"],
)
def test_text_and_elements_are_read_up_to_their_caps(data: bytes, code: str | None) -> None:
    if code is None:
        assert child.read(data, "text/plain", "x.txt")
    else:
        with pytest.raises(Poison, match=rf"{code}.*'x\.txt'.*split it"):
            child.read(data, "text/plain", "x.txt")


def test_sheets_behind_charts_and_packed_pictures_are_no_nested_archives() -> None:
    inner = archive(a=b"1")
    names = {"word__document.xml": b"<x/>", "word__embeddings__sheet.xlsx": inner, "word__media__x.emz": b"\x1f\x8b"}
    assert len(archives.names(archive(**names), "x.docx")) == 3


@pytest.mark.parametrize("name", [name for name in DOCUMENTS if name.endswith(("docx", "pptx", "xlsx"))])
def test_ordinary_office_files_pass(name: str) -> None:
    assert archives.names(DOCUMENTS[name], name)
