"""Events of the query path: the question, its evidence, and the answer that returns on the reply topic."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, ClassVar, Literal, Self

from pydantic import AwareDatetime, Field

from schemas.documents import Count, Finite, Scalar, Timings
from schemas.ids import DocumentId, DocumentIdField, QueryId, QueryIdField, TenantField, VersionField

AnswerMode = Literal["extractive", "generative"]
"""extractive: sentences of the evidence, verbatim; generative: a language model's words over the evidence."""

MAX_QUESTION_CHARS = 8_000
"""More than any question needs and about four times what a 512-token embedding model reads."""

Filters = Annotated[Mapping[str, Scalar | tuple[Scalar, ...]], Field(max_length=16)]
"""Metadata field to the value it must have, or to several of which it must have one."""
MinVersions = Annotated[Mapping[DocumentIdField, VersionField], Field(max_length=64)]
WaitS = Annotated[float, Field(ge=0, le=60, allow_inf_nan=False)]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplyTo:
    """The caller's own address; nobody else's answers are sent there."""

    topic: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,249}$")]
    partition: Annotated[int, Field(ge=0, lt=2**31)]


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryAsked:
    """Someone asks a question over the documents of one tenant."""

    ce_type: ClassVar[str] = "headwater.query-asked.v1"

    query_id: QueryIdField
    tenant: TenantField
    text: str
    """The question, 1 to 8,000 characters; the retrieve stage answers others with QueryFailed."""
    reply_to: ReplyTo
    asked_at: AwareDatetime
    deadline: AwareDatetime | None = None
    """Past it the question is dropped before it costs a model call, and fails once."""
    principals: tuple[str, ...] = ()
    """The user and groups who ask: documents with readers are found only by one of them."""
    mode: AnswerMode | None = None
    """None: what the deployment is set to."""
    stream: bool = True
    """False: no deltas, only the final event."""
    top_k: Annotated[int, Field(ge=1, le=50)] = 5
    """Passages of evidence to answer from."""
    filters: Filters = field(default_factory=dict)
    min_versions: MinVersions = field(default_factory=dict)
    """Documents to the version, published or deleted, that the search must see: that one or a newer one."""
    wait_for_s: WaitS = 5.0
    """How long the search waits for these versions, within the deadline; then the question fails with `not-visible`."""

    @property
    def key(self) -> str:
        return self.query_id


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryCancelled:
    """The caller no longer wants the answer."""

    ce_type: ClassVar[str] = "headwater.query-cancelled.v1"

    query_id: QueryIdField

    @property
    def key(self) -> str:
        return self.query_id


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """A chunk as a search found it, with every score that it was given."""

    document_id: DocumentId
    version: Count
    ordinal: Count
    title: str
    text: str
    page: Count | None
    section: tuple[str, ...]
    start: Count
    end: Count
    metadata: Mapping[str, Scalar]
    scores: Mapping[str, Finite]
    """`dense` (cosine), `bm25` (positive, higher is better), `fused`; the rerank stage adds `rerank` in [0, 1]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PassagesRetrieved:
    """The candidates that the search found, best first."""

    ce_type: ClassVar[str] = "headwater.passages-retrieved.v1"

    query: QueryAsked
    passages: tuple[Passage, ...]

    @property
    def key(self) -> str:
        return self.query.query_id


@dataclass(frozen=True, slots=True, kw_only=True)
class PassagesRanked:
    """The evidence to answer from, best first, at most `query.top_k` passages."""

    ce_type: ClassVar[str] = "headwater.passages-ranked.v1"

    query: QueryAsked
    passages: tuple[Passage, ...]

    @property
    def key(self) -> str:
        return self.query.query_id


@dataclass(frozen=True, slots=True, kw_only=True)
class Citation:
    """Where in which document a part of the answer stands."""

    document_id: DocumentId
    version: Count
    title: str
    ordinal: Count
    page: Count | None
    section: tuple[str, ...]
    quote: str
    """The supporting words, verbatim."""
    start: Count
    """Offset of the quote in the document's extracted text."""
    end: Count
    answer_start: Count
    """Offset of the supported part in the answer's text."""
    answer_end: Count


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What a generation cost; zeros where no model ran."""

    prompt_tokens: Count = 0
    completion_tokens: Count = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerDelta:
    """The next piece of the answer. A new `attempt` starts the text anew (a worker died and another took over)."""

    ce_type: ClassVar[str] = "headwater.answer-delta.v1"

    query_id: QueryIdField
    attempt: str
    index: Count
    """0, 1, 2, ... within the attempt."""
    text: str

    @property
    def key(self) -> str:
        return self.query_id


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerCompleted:
    """The whole answer; the deltas of the same attempt concatenate to its text."""

    ce_type: ClassVar[str] = "headwater.answer-completed.v1"

    query_id: QueryIdField
    attempt: str
    text: str
    citations: tuple[Citation, ...]
    confidence: Finite
    """0 to 1."""
    mode: AnswerMode
    model: str
    unsupported: tuple[str, ...] = ()
    """Names and numbers in the answer that occur nowhere in the evidence: do not trust them."""
    usage: Usage = field(default_factory=Usage)
    timings: Timings = field(default_factory=dict)

    @property
    def key(self) -> str:
        return self.query_id


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerRefused:
    """The evidence is too weak to answer from; no model was asked."""

    ce_type: ClassVar[str] = "headwater.answer-refused.v1"

    query_id: QueryIdField
    attempt: str
    code: str
    detail: str
    considered: tuple[Passage, ...] = ()
    """What was found, with its scores, so that one can see why it did not suffice."""
    timings: Timings = field(default_factory=dict)

    @property
    def key(self) -> str:
        return self.query_id


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryFailed:
    """The question got no answer, and why."""

    ce_type: ClassVar[str] = "headwater.query-failed.v1"

    query_id: QueryIdField
    stage: str
    code: str
    detail: str
    retry_after_s: Finite | None = None
    timings: Timings = field(default_factory=dict)

    @property
    def key(self) -> str:
        return self.query_id

    @classmethod
    def of(cls, event: "QueryEvent", *, stage: str, code: str, detail: str) -> Self:
        """The reply to a question that `stage` cannot process."""
        query = event if isinstance(event, QueryAsked) else event.query
        return cls(query_id=query.query_id, stage=stage, code=code, detail=detail)


QueryEvent = QueryAsked | PassagesRetrieved | PassagesRanked
Reply = AnswerDelta | AnswerCompleted | AnswerRefused | QueryFailed
FinalReply = AnswerCompleted | AnswerRefused | QueryFailed

__all__ = [
    "MAX_QUESTION_CHARS",
    "AnswerCompleted",
    "AnswerDelta",
    "AnswerMode",
    "AnswerRefused",
    "Citation",
    "FinalReply",
    "Passage",
    "PassagesRanked",
    "PassagesRetrieved",
    "QueryAsked",
    "QueryCancelled",
    "QueryEvent",
    "QueryFailed",
    "QueryId",
    "Reply",
    "ReplyTo",
    "Usage",
]
