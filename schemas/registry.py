"""Every event there is, in the order in which a document and a question meet them."""

from schemas.documents import (
    ChunksEmbedded,
    ChunksExtracted,
    DocumentDeleted,
    DocumentErased,
    DocumentIndexed,
    DocumentPublished,
    DocumentRejected,
    DocumentUnchanged,
)
from schemas.queries import (
    AnswerCompleted,
    AnswerDelta,
    AnswerRefused,
    PassagesRanked,
    PassagesRetrieved,
    QueryAsked,
    QueryCancelled,
    QueryFailed,
)

Event = (
    DocumentPublished
    | DocumentDeleted
    | ChunksExtracted
    | ChunksEmbedded
    | DocumentIndexed
    | DocumentUnchanged
    | DocumentErased
    | DocumentRejected
    | QueryAsked
    | QueryCancelled
    | PassagesRetrieved
    | PassagesRanked
    | AnswerDelta
    | AnswerCompleted
    | AnswerRefused
    | QueryFailed
)

EVENTS: tuple[type[Event], ...] = (
    DocumentPublished,
    DocumentDeleted,
    ChunksExtracted,
    ChunksEmbedded,
    DocumentIndexed,
    DocumentUnchanged,
    DocumentErased,
    DocumentRejected,
    QueryAsked,
    QueryCancelled,
    PassagesRetrieved,
    PassagesRanked,
    AnswerDelta,
    AnswerCompleted,
    AnswerRefused,
    QueryFailed,
)
