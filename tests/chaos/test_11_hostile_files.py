"""11. Hostile files: each is rejected with its reason within its limits, and costs no other document anything."""

import asyncio
import socketserver
import threading
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from random import Random

import pytest
import pytest_asyncio

from processors.backends.documents.parser import DocumentParser
from processors.errors import Poison
from schemas import DocumentIndexed, DocumentRejected
from streams import provisioning
from streams.client import Client
from streams.settings import Settings
from tests.chaos.hostile_archives import docx, paragraph, pptx
from tests.chaos.hostile_files import FILES, HARMLESS, sheet
from tests.e2e.conftest import INGEST, Worker

HOSTILE = 12
"""Files in a run, drawn from its seed."""
SECRET = "what stands in a file of the machine"
LISTED = [
    pytest.param(name, marks=(pytest.mark.chaos, pytest.mark.timeout(300)) if hostile.slow else ())
    for name, hostile in FILES.items()
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def parser() -> AsyncIterator[DocumentParser]:
    """One for all: whatever a file did to it, the next one must be read."""
    parser = DocumentParser()
    await parser.open()
    yield parser
    await parser.close()


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("name", LISTED)
async def test_a_hostile_file_is_rejected_with_its_code(parser: DocumentParser, name: str) -> None:
    data = FILES[name].build()
    bad, good = await asyncio.gather(
        parser.parse(data, media_type="", filename=name),
        parser.parse(b"<p>a neighbour</p>", media_type="", filename="good.html"),
        return_exceptions=True,
    )
    assert isinstance(bad, Poison), bad
    assert bad.code in FILES[name].codes, bad.detail
    assert name in bad.detail
    assert not isinstance(good, BaseException), good
    assert good[0].text == "a neighbour"


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("name", HARMLESS)
async def test_a_monstrous_claim_that_reading_does_not_need_costs_nothing(parser: DocumentParser, name: str) -> None:
    build, text = HARMLESS[name]
    elements = await parser.parse(build(), media_type="", filename=name)
    assert text in "\n".join(element.text for element in elements)


@pytest.fixture
def visitors() -> Iterator[tuple[str, list[str]]]:
    """A server that nobody may visit, and who did."""
    came: list[str] = []

    class Visit(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            came.append(self.client_address[0])

    with socketserver.TCPServer(("127.0.0.1", 0), Visit) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}/x.dtd", came
        server.shutdown()
        thread.join()


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("kind", ["docx", "xlsx", "pptx", "html"])
async def test_external_entities_are_neither_read_nor_fetched(
    parser: DocumentParser, kind: str, tmp_path: Path, visitors: tuple[str, list[str]]
) -> None:
    url, came = visitors
    (tmp_path / "secret").write_text(SECRET)
    outside = (
        f"<!DOCTYPE x [<!ENTITY out SYSTEM 'file://{tmp_path}/secret'><!ENTITY far SYSTEM '{url}'>"
        f"<!ENTITY % more SYSTEM '{url}'> %more;]>"
    )
    text = "top &out; &far; end"
    builds: dict[str, Callable[[], bytes]] = {
        "docx": lambda: docx(paragraph(text), doctype=outside),
        "xlsx": lambda: sheet(text, doctype=outside),
        "pptx": lambda: pptx(text, doctype=outside),
        "html": f"{outside}<p>{text}</p>".encode,
    }
    try:
        said = "\n".join(each.text for each in await parser.parse(builds[kind](), media_type="", filename=f"x.{kind}"))
    except Poison as poison:
        said = poison.detail
    assert SECRET not in said
    assert not came


@pytest.mark.stack
@pytest.mark.timeout(300)
async def test_hostile_files_between_good_ones_are_rejected_and_the_good_ones_indexed(
    stack: Settings, seed: int, tmp_path: Path
) -> None:
    """The product's own worker, with its own parser and model."""
    random = Random(seed)
    name = f"hostile{seed}x{uuid.uuid4().hex[:6]}"
    settings = stack.model_copy(
        update={"topic_prefix": f"{name}-", "tenant": name, "home": tmp_path, "objects": stack.objects_url}
    )
    await asyncio.to_thread(provisioning.apply, settings)
    hostile = random.sample([name for name, file in FILES.items() if not file.slow], HOSTILE)
    worker = await asyncio.to_thread(Worker, settings, INGEST, tmp_path / "worker.log")
    try:
        await asyncio.to_thread(worker.wait_ready)
        async with Client(settings) as client:
            sent = []
            for number, bad in enumerate(hostile):
                sent.append(await client.publish(bad, FILES[bad].build(), filename=bad))
                sent.append(await client.publish(f"good{number}.html", f"<p>good {number}</p>".encode()))
            receipts = await asyncio.gather(*(client.receipt(event, timeout_s=240) for event in sent))
    finally:
        await asyncio.to_thread(worker.stop)
    for bad, rejected, indexed in zip(hostile, receipts[::2], receipts[1::2], strict=True):
        assert isinstance(rejected, DocumentRejected), bad
        assert rejected.code in FILES[bad].codes, rejected.detail
        assert isinstance(indexed, DocumentIndexed), indexed
