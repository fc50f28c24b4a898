"""The topics, as data. Compose and Kubernetes files are rendered from this table."""

from schemas import (
    AnswerCompleted,
    AnswerDelta,
    AnswerRefused,
    ChunksEmbedded,
    ChunksExtracted,
    DocumentDeleted,
    DocumentErased,
    DocumentIndexed,
    DocumentPublished,
    DocumentRejected,
    DocumentUnchanged,
    Event,
    PassagesRanked,
    PassagesRetrieved,
    QueryAsked,
    QueryCancelled,
    QueryFailed,
)
from streams.wiring import DAY_MS, Sink, Topic

MAX_RECORD_BYTES = 4 * 1024 * 1024
"""512 KB of inline text can grow sixfold in JSON escapes; anything larger travels as a claim check."""
MAX_PRODUCED_BYTES = 16 * MAX_RECORD_BYTES
"""Before compression, which is not what the broker's limit counts: a dead letter is as large as its original."""
LETTERS_SETTLED = "letters-settled"
"""Which dead letters were replayed or dropped. For `headwater dlq` alone: no stage reads or writes it."""

DOCUMENTS: Topic[DocumentPublished | DocumentDeleted] = Topic(
    "documents", (DocumentPublished, DocumentDeleted), "Producers publish and delete documents here."
)
CHUNKS: Sink[ChunksExtracted | DocumentDeleted] = Sink(
    "chunks", (ChunksExtracted, DocumentDeleted), "Slices of a document's chunks, in order; deletions pass through."
)
VECTORS: Sink[ChunksEmbedded | DocumentDeleted] = Sink(
    "vectors", (ChunksEmbedded, DocumentDeleted), "The same slices with a vector per chunk."
)
RECEIPTS: Sink[DocumentIndexed | DocumentUnchanged | DocumentErased | DocumentRejected] = Sink(
    "receipts",
    (DocumentIndexed, DocumentUnchanged, DocumentErased, DocumentRejected),
    "What became of every document event; producers wait here.",
    dead_letters=False,
)
QUERIES: Topic[QueryAsked] = Topic("queries", (QueryAsked,), "Callers ask here.", key="query_id", retention_ms=DAY_MS)
CANCELLATIONS: Topic[QueryCancelled] = Topic(
    "cancellations",
    (QueryCancelled,),
    "Callers withdraw questions here; every query worker reads all of it.",
    key="query_id",
    partitions=1,
    retention_ms=DAY_MS,
    dead_letters=False,
)
CANDIDATES: Sink[PassagesRetrieved] = Sink(
    "candidates", (PassagesRetrieved,), "Passages that the search found.", key="query_id", retention_ms=DAY_MS
)
EVIDENCE: Sink[PassagesRanked] = Sink(
    "evidence", (PassagesRanked,), "The best of them, to answer from.", key="query_id", retention_ms=DAY_MS
)
ANSWERS: Sink[AnswerDelta | AnswerCompleted | AnswerRefused | QueryFailed] = Sink(
    "answers",
    (AnswerDelta, AnswerCompleted, AnswerRefused, QueryFailed),
    "The default reply topic; a caller may name its own topic and partition instead.",
    key="query_id",
    partitions=16,
    retention_ms=DAY_MS,
    dead_letters=False,
    replies=True,
)

TOPICS: tuple[Topic[Event], ...] = (
    DOCUMENTS,
    CHUNKS,
    VECTORS,
    RECEIPTS,
    QUERIES,
    CANCELLATIONS,
    CANDIDATES,
    EVIDENCE,
    ANSWERS,
)
