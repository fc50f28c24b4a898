"""11. Hostile files: each is rejected with its reason within its limits, and costs no other document anything."""

import asyncio
import socketserver
import threading
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
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
from tests.chaos.checker import Verdict
from tests.chaos.hostile_archives import docx, paragraph, pptx
from tests.chaos.hostile_files import FILES, HARMLESS, SLOW, sheet
from tests.chaos.report import Report
from tests.chaos.scenario import Outcome
from tests.e2e.conftest import INGEST, Worker

HOSTILE = 12
"""Files in a run, drawn from its seed."""
SECRET = "what stands in a file of the machine"


def listed(names: Iterable[str]) -> list[object]:
    """The slow ones only in the long form."""
    chaos = (pytest.mark.chaos, pytest.mark.timeout(300))
    return [pytest.param(name, marks=chaos if name in SLOW else ()) for name in names]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def parser() -> AsyncIterator[DocumentParser]:
    """One for all: whatever a file did to it, the next one must be read."""
    parser = DocumentParser()
    await parser.open()
    yield parser
    await parser.close()


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("name", listed(FILES))
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
@pytest.mark.parametrize("name", listed(HARMLESS))
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
    stack: Settings, seed: int, tmp_path: Path, report: Report
) -> None:
    """The product's own worker, with its own parser and model."""
    began = time.monotonic()
    settings = stack.model_copy(
        update={"topic_prefix": "hostile-", "tenant": f"t{uuid.uuid4().hex[:12]}", "home": tmp_path}
        | {"objects": stack.objects_url}
    )
    await asyncio.to_thread(provisioning.apply, settings)
    hostile = Random(seed).sample(sorted(FILES.keys() - SLOW), HOSTILE)
    worker = await asyncio.to_thread(Worker, settings, INGEST, tmp_path / "worker.log")
    try:
        await asyncio.to_thread(worker.wait_ready)
        rejected, indexed = await published(settings, hostile)
    finally:
        await asyncio.to_thread(worker.stop)
    good = {f"good{number}.html" for number in range(HOSTILE)}
    wrong = [f"{bad}: {rejected.get(bad)}" for bad in hostile if rejected.get(bad) not in FILES[bad].codes]
    verdict = Verdict(lost=tuple(good - indexed), unexpected=(*wrong, *(indexed - good), *(rejected.keys() & good)))
    report.judge(
        Outcome(
            scenario="hostile files",
            number=11,
            seed=seed,
            engine=settings.engine,
            verdict=verdict,
            faults=len(rejected),
            events=2 * HOSTILE,
            questions=0,
            repeats=0,
            changed=0,
            took_s=time.monotonic() - began,
            figures={},
            story=f"hostile files, seed {seed}: {verdict}",
        )
    )


async def published(settings: Settings, hostile: Sequence[str]) -> tuple[dict[str, str], set[str]]:
    """Codes of what was rejected and names of what was indexed, of these files and a good one behind each."""
    async with Client(settings) as client:
        sent = []
        for number, bad in enumerate(hostile):
            sent.append(await client.publish(bad, FILES[bad].build(), filename=bad))
            sent.append(await client.publish(f"good{number}.html", f"<p>good {number}</p>".encode()))
        receipts = await asyncio.gather(*(client.receipt(event, timeout_s=240) for event in sent))
    rejected = {str(receipt.document_id): receipt.code for receipt in receipts if isinstance(receipt, DocumentRejected)}
    return rejected, {receipt.document_id for receipt in receipts if isinstance(receipt, DocumentIndexed)}
