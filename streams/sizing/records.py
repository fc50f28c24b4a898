"""Bytes of each event on the wire, found by writing one of the size in question."""

from datetime import UTC, datetime

from processors.chunk import MAX_SLICE_CHARS, MAX_SLICE_CHUNKS
from schemas import (
    AnswerCompleted,
    AnswerDelta,
    Chunk,
    ChunksEmbedded,
    ChunksExtracted,
    Claim,
    Document,
    DocumentId,
    DocumentIndexed,
    DocumentPublished,
    Event,
    InlineText,
    Passage,
    PassagesRanked,
    PassagesRetrieved,
    QueryAsked,
    QueryId,
    ReplyTo,
    Tenant,
    encode,
)
from streams.contents import INLINE_BYTES
from streams.sizing.figures import Figures
from streams.sizing.load import Load
from streams.topics import ANSWERS, CANDIDATES, CHUNKS, DOCUMENTS, EVIDENCE, QUERIES, RECEIPTS, VECTORS

NOW = datetime(2026, 1, 1, tzinfo=UTC)
DIGEST = "0" * 32
ID = QueryId("00000000-0000-0000-0000-000000000000")
DOCUMENT_ID = DocumentId("handbook/department/a-document-of-usual-name.html")
TENANT = Tenant("a-tenant")
TITLE = "A title of some forty characters, more or less"


def rates(load: Load, figures: Figures) -> dict[str, tuple[float, float]]:
    """Records and bytes per second of every topic that grows with the load, by its name."""
    chunks = load.chunks_per_document(figures)
    slice_chunks = min(chunks, MAX_SLICE_CHUNKS, max(1, MAX_SLICE_CHARS // round(figures.chunk_bytes)))
    slices_s = load.chunks_s(figures) / slice_chunks
    asked_s, documents_s = load.queries_s, load.documents_s
    extracted = _extracted(slice_chunks, figures)
    question = _asked(figures)
    written: dict[str, tuple[float, Event]] = {
        DOCUMENTS.name: (documents_s, _published(load.document_bytes)),
        CHUNKS.name: (slices_s, extracted),
        VECTORS.name: (slices_s, _embedded(extracted, load.dimensions)),
        RECEIPTS.name: (documents_s, _indexed()),
        QUERIES.name: (asked_s, question),
        CANDIDATES.name: (asked_s, PassagesRetrieved(query=question, passages=_passages(figures.candidates, figures))),
        EVIDENCE.name: (asked_s, PassagesRanked(query=question, passages=_passages(question.top_k, figures))),
    }
    found = {name: (rate, rate * _bytes(event, figures)) for name, (rate, event) in written.items()}
    deltas_s = asked_s * load.generative * load.answer_tokens + asked_s * (1 - load.generative)
    final = AnswerCompleted(
        query_id=ID,
        attempt=ID,
        text="x" * round(load.answer_tokens * figures.chars_per_token),
        citations=(),
        confidence=0.5,
        mode="generative",
        model="a-model-of-usual-name",
    )
    delta = AnswerDelta(query_id=ID, attempt=ID, index=100, text="x" * round(figures.chars_per_token))
    answered = deltas_s * _bytes(delta, figures) + asked_s * _bytes(final, figures)
    return found | {ANSWERS.name: (deltas_s + asked_s, answered)}


def _bytes(event: Event, figures: Figures) -> float:
    return (len(encode(event)) + figures.header_bytes) * figures.compression


def _published(document_bytes: int) -> DocumentPublished:
    source: InlineText | Claim = InlineText(text="x" * min(document_bytes, INLINE_BYTES))
    if document_bytes > INLINE_BYTES:
        source = Claim(uri=f"s3://a-bucket-of-usual-name/claims/{DIGEST}", sha256=DIGEST * 2, size_bytes=document_bytes)
    return DocumentPublished(
        tenant=TENANT,
        document_id=DOCUMENT_ID,
        version=1_700_000_000_000,
        published_at=NOW,
        source=source,
        media_type="text/html",
        title=TITLE,
    )


def _extracted(chunks: int, figures: Figures) -> ChunksExtracted:
    chunk = Chunk(
        ordinal=100,
        text="x" * round(figures.chunk_bytes),
        text_hash=DIGEST,
        section=(TITLE, TITLE),
        start=100_000,
        end=101_000,
    )
    about = Document(
        tenant=TENANT,
        document_id=DOCUMENT_ID,
        version=1_700_000_000_000,
        published_at=NOW,
        media_type="text/html",
        title=TITLE,
        metadata={},
        readers=(),
        digest=DIGEST,
        chunk_count=chunks,
    )
    return ChunksExtracted(document=about, slice=0, slices=1, chunks=(chunk,) * chunks)


def _embedded(slice_of: ChunksExtracted, dimensions: int) -> ChunksEmbedded:
    chunks = len(slice_of.chunks)
    vectors = bytes(chunks * dimensions * 4)
    return ChunksEmbedded.after(slice_of, model=DIGEST, dimensions=dimensions, vectors=vectors, embedded=chunks)


def _indexed() -> DocumentIndexed:
    return DocumentIndexed(
        tenant=TENANT,
        document_id=DOCUMENT_ID,
        version=1_700_000_000_000,
        published_at=NOW,
        timings={stage + wait: 12.345 for stage in ("chunk", "embed", "upsert") for wait in ("", ".wait")},
        chunks=100,
        embedded=100,
        model=DIGEST,
    )


def _asked(figures: Figures) -> QueryAsked:
    text = "x" * round(figures.question_tokens * figures.chars_per_token)
    return QueryAsked(
        query_id=ID, tenant=TENANT, text=text, reply_to=ReplyTo(topic="answers", partition=1), asked_at=NOW
    )


def _passages(count: float, figures: Figures) -> tuple[Passage, ...]:
    passage = Passage(
        document_id=DOCUMENT_ID,
        version=1_700_000_000_000,
        ordinal=100,
        title=TITLE,
        text="x" * round(figures.chunk_bytes),
        page=1,
        section=(TITLE, TITLE),
        start=100_000,
        end=101_000,
        metadata={},
        scores={"dense": 0.123456789, "bm25": 12.3456789, "fused": 0.123456789, "rerank": 0.123456789},
    )
    return (passage,) * round(count)
