"""Events of the ingest path: what producers publish, what passes between stages, the receipts they wait for."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, ClassVar, Literal, Self

from pydantic import AwareDatetime, Base64Bytes, Field

from schemas.ids import DocumentId, DocumentIdField, Tenant, TenantField, VersionField, document_key

Count = Annotated[int, Field(ge=0, lt=2**63)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Timings = Mapping[str, Finite]
"""Milliseconds: `<stage>` for its work, `<stage>.wait` for the time its record waited in the broker."""
Scalar = str | bool | Annotated[int, Field(ge=-(2**63), lt=2**63)] | Finite
Metadata = Annotated[Mapping[str, Scalar], Field(max_length=64)]
Readers = Annotated[tuple[Annotated[str, Field(min_length=1, max_length=128)], ...], Field(max_length=64)]
Profile = Literal["technical", "general", "legal"]


@dataclass(frozen=True, slots=True, kw_only=True)
class InlineText:
    """The document's text, in the event itself."""

    text: str
    kind: Literal["text"] = "text"


@dataclass(frozen=True, slots=True, kw_only=True)
class InlineBytes:
    """The document's bytes, base64 on the wire, in the event itself."""

    data: Base64Bytes
    kind: Literal["bytes"] = "bytes"


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A claim check: the document's bytes lie in an object store that the workers can read."""

    uri: str
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    size_bytes: Count
    kind: Literal["claim"] = "claim"


Source = Annotated[InlineText | InlineBytes | Claim, Field(discriminator="kind")]


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentPublished:
    """A producer has a new version of a document."""

    ce_type: ClassVar[str] = "headwater.document-published.v1"

    tenant: TenantField
    document_id: DocumentIdField
    version: VersionField
    """Assigned by the producer and growing with every version; a lower one that arrives late is superseded."""
    published_at: AwareDatetime
    """Tells a second publication of the same version apart from a redelivery of the first."""
    source: Source
    media_type: Annotated[str, Field(min_length=1, max_length=128)]
    filename: Annotated[str, Field(max_length=512)] = ""
    """A hint for the media type where that is `application/octet-stream`."""
    title: Annotated[str, Field(max_length=512)] = ""
    metadata: Metadata = field(default_factory=dict)
    readers: Readers = ()
    """Users and groups who may read it; empty: everyone in the tenant."""
    profile: Profile | None = None
    """Which chunking defaults suit the text; none: by media type."""

    @property
    def key(self) -> str:
        return document_key(self.tenant, self.document_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentDeleted:
    """A producer wants every trace of a document gone."""

    ce_type: ClassVar[str] = "headwater.document-deleted.v1"

    tenant: TenantField
    document_id: DocumentIdField
    version: VersionField
    published_at: AwareDatetime

    @property
    def key(self) -> str:
        return document_key(self.tenant, self.document_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """What every slice says about the document that it belongs to."""

    tenant: TenantField
    document_id: DocumentIdField
    version: VersionField
    published_at: AwareDatetime
    media_type: str
    title: str
    metadata: Metadata
    readers: Readers
    digest: str
    """Hash over all chunk texts, title, metadata and readers: equal digests mean nothing to do."""
    chunk_count: Count


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """A passage of a document, small enough for one vector."""

    ordinal: Count
    """0-based place in the document."""
    text: str
    text_hash: str
    page: Count | None = None
    """1-based; none where the format has no pages."""
    section: tuple[str, ...] = ()
    """Headings above the passage, outermost first."""
    start: Count = 0
    """Offset of the first character in the document's extracted text."""
    end: Count = 0
    """Offset after the last character."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunksExtracted:
    """A slice of a document's chunks. Slices of one document travel in order."""

    ce_type: ClassVar[str] = "headwater.chunks-extracted.v1"

    document: Document
    slice: Count
    """0-based."""
    slices: Count
    chunks: tuple[Chunk, ...]

    @property
    def key(self) -> str:
        return document_key(self.document.tenant, self.document.document_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunksEmbedded:
    """The same slice with a vector per chunk."""

    ce_type: ClassVar[str] = "headwater.chunks-embedded.v1"

    document: Document
    slice: Count
    slices: Count
    chunks: tuple[Chunk, ...]
    model: str
    """Fingerprint of the embedding model; vectors of different fingerprints never share a collection."""
    dimensions: Count
    vectors: Base64Bytes
    """One row per chunk of `dimensions` little-endian float32, L2-normalised; base64 on the wire."""
    embedded: Count
    """How many of these vectors were computed for this event; the others were reused."""

    @property
    def key(self) -> str:
        return document_key(self.document.tenant, self.document.document_id)

    @classmethod
    def after(cls, event: ChunksExtracted, *, model: str, dimensions: int, vectors: bytes, embedded: int) -> Self:
        """The embedded form of `event`."""
        return cls(
            document=event.document,
            slice=event.slice,
            slices=event.slices,
            chunks=event.chunks,
            model=model,
            dimensions=dimensions,
            vectors=vectors,
            embedded=embedded,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Receipt:
    tenant: TenantField
    document_id: DocumentIdField
    version: VersionField
    published_at: AwareDatetime
    """Copied from the event that this receipt answers."""
    timings: Timings = field(default_factory=dict)

    @property
    def key(self) -> str:
        return document_key(self.tenant, self.document_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentIndexed(_Receipt):
    """This version is what searches see from now on."""

    ce_type: ClassVar[str] = "headwater.document-indexed.v1"

    chunks: Count
    embedded: Count
    """Chunks whose vector was computed; the other `chunks - embedded` kept the one they had."""
    model: str
    replaces: VersionField | None = None
    """The version that searches saw until now; none where the document is new to them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentUnchanged(_Receipt):
    """The content was indexed already; nothing was embedded or written but the version."""

    ce_type: ClassVar[str] = "headwater.document-unchanged.v1"


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentErased(_Receipt):
    """No version of the document is left in the index."""

    ce_type: ClassVar[str] = "headwater.document-erased.v1"

    removed: Mapping[str, Count]
    """Rows removed, by collection."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentRejected(_Receipt):
    """This version will not be searchable; whatever was searchable before still is."""

    ce_type: ClassVar[str] = "headwater.document-rejected.v1"

    stage: str
    code: str
    detail: str
    """What is wrong and what to do, for a person."""

    @classmethod
    def of(cls, event: "IngestEvent", *, stage: str, code: str, detail: str) -> Self:
        """The receipt for an event that `stage` cannot process."""
        about = event.document if isinstance(event, ChunksExtracted | ChunksEmbedded) else event
        return cls(
            tenant=about.tenant,
            document_id=about.document_id,
            version=about.version,
            published_at=about.published_at,
            stage=stage,
            code=code,
            detail=detail,
        )


IngestEvent = DocumentPublished | DocumentDeleted | ChunksExtracted | ChunksEmbedded
Receipt = DocumentIndexed | DocumentUnchanged | DocumentErased | DocumentRejected

__all__ = [
    "Chunk",
    "ChunksEmbedded",
    "ChunksExtracted",
    "Claim",
    "Document",
    "DocumentDeleted",
    "DocumentErased",
    "DocumentId",
    "DocumentIndexed",
    "DocumentPublished",
    "DocumentRejected",
    "DocumentUnchanged",
    "IngestEvent",
    "InlineBytes",
    "InlineText",
    "Profile",
    "Receipt",
    "Scalar",
    "Source",
    "Tenant",
]
