"""Publish articles and wait for their receipts."""

import asyncio
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from opentelemetry.trace import NoOpTracer

from benchmarks.corpus import Article
from processors.chunk import Chunk
from schemas import ChunksExtracted, DocumentId, DocumentIndexed, DocumentPublished, InlineText, Tenant
from streams.client import Client
from streams.composition import Backends
from streams.settings import Settings

MEDIA_TYPE = "text/markdown"
STAGES = "chunk,embed,upsert"
LAYOUTS = {"chunk|embed|upsert": "topics", "chunk|embed+upsert": "fused"}
"""Segmentations to compare, and a name for each one's topics."""


@dataclass(frozen=True, slots=True)
class Ingested:
    """A batch of documents that went all the way."""

    seconds: float
    """From before the first event is sent to the last receipt."""
    receipts: Sequence[DocumentIndexed]

    @property
    def chunks(self) -> int:
        return sum(receipt.chunks for receipt in self.receipts)


def caller(settings: Settings) -> Client:
    """A client without tracing."""
    return Client(settings, NoOpTracer())


async def ingest(client: Client, articles: Iterable[Article], *, label: str, timeout_s: float = 180.0) -> Ingested:
    """Publish the articles as new documents, all at once, and wait until each is searchable."""
    started = time.perf_counter()
    events = await asyncio.gather(
        *(
            client.publish(f"{label}/{article.name}", article.text, media_type=MEDIA_TYPE, title=article.title)
            for article in articles
        )
    )
    receipts = await asyncio.gather(*(client.receipt(event, timeout_s=timeout_s) for event in events))
    seconds = time.perf_counter() - started
    for receipt in receipts:
        if not isinstance(receipt, DocumentIndexed) or receipt.embedded != receipt.chunks:
            raise RuntimeError(f"not a new document: {receipt}")
    return Ingested(seconds, [receipt for receipt in receipts if isinstance(receipt, DocumentIndexed)])


async def chunk_texts(settings: Settings, articles: Iterable[Article]) -> list[str]:
    """The texts that the pipeline embeds for these articles, in order."""
    ports = Backends(settings)
    chunk = Chunk(ports.parser, ports.objects, settings.chunking)
    await ports.parser.open()
    try:
        slices = [piece for article in articles for piece in await chunk(event(article))]
    finally:
        await ports.parser.close()
    return [each.text for piece in slices if isinstance(piece, ChunksExtracted) for each in piece.chunks]


def event(article: Article, *, tenant: str = "default") -> DocumentPublished:
    """The article as a new document."""
    return DocumentPublished(
        tenant=Tenant(tenant),
        document_id=DocumentId(article.name),
        version=1,
        published_at=datetime.now(UTC),
        source=InlineText(text=article.text),
        media_type=MEDIA_TYPE,
        title=article.title,
    )
