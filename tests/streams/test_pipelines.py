"""The committed tables on the memory engine, with the real backends: only the broker is missing."""

import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from schemas import (
    AnswerCompleted,
    DocumentDeleted,
    DocumentErased,
    DocumentIndexed,
    DocumentPublished,
    DocumentRejected,
    DocumentUnchanged,
    Event,
    InlineBytes,
    QueryAsked,
)
from streams.composition import Backends
from streams.pipelines import STAGES, ingest, query
from streams.settings import Settings
from tests.streams.runtime.wiring import Bench, dlq, document, question

pytestmark = pytest.mark.stack

ORCHARD = "The orchard keeps bees. The old pear trees are pruned in the second week of February."
FUSED = ("chunk+embed+upsert", "retrieve+rerank+generate")
APART = ("chunk|embed|upsert", "retrieve|rerank|generate")


@asynccontextmanager
async def opened(stack: Settings, home: Path) -> AsyncIterator[Backends]:
    """The default backend of every port, open, on a new collection."""
    address = stack.index_url.rpartition("/")[0]
    backends = Backends(stack.model_copy(update={"home": home, "index": f"{address}/test_{uuid.uuid4().hex}"}))
    ports = (backends.parser, backends.objects, backends.embedder, backends.index, backends.reranker)
    async with AsyncExitStack() as resources:
        for port in (*ports, *backends.generators.values()):
            resources.push_async_callback(port.close)
            await port.open()
        yield backends


@pytest.fixture
async def backends(stack: Settings, tmp_path: Path) -> AsyncIterator[Backends]:
    async with opened(stack, tmp_path) as backends:
        yield backends


class Tables:
    """Both tables, each cut as told, on topics in memory."""

    def __init__(self, backends: Backends, segmentations: tuple[str, str]) -> None:
        self.ingest = Bench(ingest(backends, backends.settings), segmentations[0])
        self.query = Bench(query(backends, backends.settings), segmentations[1])

    async def receipts(self, *events: Event) -> Sequence[Event]:
        """What these events lead to, in the order of writing."""
        known = len(self.ingest.said("receipts"))
        await self.ingest.publish(*events)
        await self.ingest.engine.run()
        return [said.event for said in self.ingest.said("receipts")][known:]

    async def replies(self, asked: QueryAsked) -> Sequence[Any]:
        await self.query.publish(asked)
        await self.query.engine.run()
        return [said.event for said in self.query.replies()]


@pytest.mark.parametrize("segmentations", [APART, FUSED], ids=["topics", "calls"])
async def test_the_tables_answer_from_a_document_published_before(
    backends: Backends, segmentations: tuple[str, str]
) -> None:
    tables = Tables(backends, segmentations)
    broken = replace(document("broken"), source=InlineBytes(data=b"%PDF-1.4 cut"), media_type="application/pdf")
    receipts = await tables.receipts(document("orchard", ORCHARD), broken)
    assert {receipt.key: type(receipt) for receipt in receipts} == {
        "t/orchard": DocumentIndexed,
        "t/broken": DocumentRejected,
    }
    assert [dlq(letter)["dlq-code"] for letter in tables.ingest.letters("documents")] == ["unreadable"]

    *deltas, final = await tables.replies(replace(question(), text="When are the old pear trees pruned?"))
    assert isinstance(final, AnswerCompleted), final
    assert "second week of February" in final.text
    assert "".join(delta.text for delta in deltas) == final.text
    assert {citation.document_id for citation in final.citations} == {"orchard"}
    between = [
        *tables.ingest.broker.records("p.chunks"),
        *tables.ingest.broker.records("p.vectors"),
        *tables.query.broker.records("p.candidates"),
        *tables.query.broker.records("p.evidence"),
    ]
    assert len(between) == (4 if segmentations == APART else 0)


async def test_a_document_lives_through_its_versions(backends: Backends) -> None:
    tables = Tables(backends, APART)
    story: list[tuple[DocumentPublished | DocumentDeleted, type[Event]]] = [
        (document("orchard", ORCHARD), DocumentIndexed),
        (document("orchard", ORCHARD, version=2), DocumentUnchanged),
        (document("orchard", ORCHARD.replace("pear", "plum"), version=3), DocumentIndexed),
        (_deleted(document("orchard", version=4)), DocumentErased),
        (document("orchard", ORCHARD, version=2), DocumentRejected),
    ]
    for event, expected in story:
        [receipt] = await tables.receipts(event)
        assert type(receipt) is expected, receipt


async def test_two_runs_write_the_same_records(stack: Settings, tmp_path: Path) -> None:
    async with opened(stack, tmp_path) as backends:
        once = await _written(Tables(backends, APART))
    async with opened(stack, tmp_path) as backends:
        again = await _written(Tables(backends, APART))
    assert once == again
    assert {topic for topic, *_ in once} >= {"p.chunks", "p.vectors", "p.receipts", "p.candidates", "p.evidence"}


async def _written(tables: Tables) -> Sequence[tuple[str, int, int, bytes]]:
    """Topic, partition, offset and value of every record; only the id of the attempt is drawn anew by each run."""
    for name in ("one", "two"):
        await tables.receipts(document(name, f"{name} {ORCHARD}"))
    replies = await tables.replies(replace(question(), text="When are the old pear trees pruned?"))
    attempt = replies[-1].attempt.encode()
    return [
        (topic, record.partition, record.offset, (record.value or b"").replace(attempt, b"attempt"))
        for bench in (tables.ingest, tables.query)
        for topic in sorted(bench.broker.logs)
        for record in bench.broker.records(topic)
    ]


def _deleted(event: DocumentPublished) -> DocumentDeleted:
    return DocumentDeleted(
        tenant=event.tenant,
        document_id=event.document_id,
        version=event.version,
        published_at=event.published_at,
    )


def test_the_names_of_stages_are_those_of_the_tables(stack: Settings) -> None:
    backends = Backends(stack)
    wired = (ingest(backends, stack), query(backends, stack))
    assert [stage.name for pipeline in wired for stage in pipeline.stages] == list(STAGES)
