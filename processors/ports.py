"""What processors need from the world. Each protocol states the contract that every backend's suite proves.

Common to all: construction is free of I/O and imports no client library; `open` does both and must come first;
`close` may be called twice. All methods run on one event loop and may be called concurrently. A method raises
`Transient` where the service may recover and `Poison` where this input never works, and nothing else.
"""

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from schemas import (
    AnswerMode,
    Chunk,
    ChunksEmbedded,
    Claim,
    Document,
    DocumentId,
    Passage,
    Scalar,
    Tenant,
    Usage,
)

Vectors = NDArray[np.float32]
Role = Literal["passage", "query"]
ElementKind = Literal["title", "text", "list-item", "table", "code"]


@runtime_checkable
class Port(Protocol):
    """A service behind a backend."""

    async def open(self) -> None:
        """Import the client, connect, and check that the service is the one that the settings describe."""
        ...

    async def close(self) -> None:
        """Release everything; harmless when repeated."""
        ...

    async def check(self) -> str:
        """One line about the service as it is now (name, version, size); raises Transient or Poison with the remedy."""
        ...


@runtime_checkable
class Probed(Protocol):
    """A backend whose server has a route that tells its health. Optional; only a pool's prober asks."""

    async def healthy(self) -> None:
        """Ask that route once. Raises Transient with what the server said, or that it said nothing.

        Never on a backend's own initiative: eight such requests at once end a busy TEI.
        """
        ...


@runtime_checkable
class Truncates(Protocol):
    """A backend that cuts texts over its model's longest input. Optional; a worker tells in its log what was cut."""

    @property
    def truncated(self) -> int:
        """How many texts were cut so far."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Element:
    """A structural unit of a document, in reading order."""

    kind: ElementKind
    text: str
    page: int | None = None
    """1-based; none where the format has no pages."""
    depth: int = 0
    """Of a title: 0 for the outermost heading."""


class Parser(Port, Protocol):
    """Reads files."""

    async def parse(self, data: bytes, *, media_type: str, filename: str) -> Sequence[Element]:
        """The elements of a document, in reading order, at least one, none with blank text.

        `media_type` may be wrong or `application/octet-stream`; content signatures and `filename` decide then.
        Poison: `empty-document`, `unsupported-media-type`, `encrypted`, `unreadable`, `no-text`, `nested-archive`;
        `too-large`, `decompression-bomb`, `too-many-pages`, `too-many-elements`, `too-much-text` by what is in it;
        `parse-timeout`, `parse-cpu`, `parse-memory` by what reading it costs.
        """
        ...


class ObjectStore(Port, Protocol):
    """Holds documents too large for an event."""

    async def get(self, claim: Claim) -> bytes:
        """The claimed bytes, size and sha256 verified.

        Poison: `claim-outside-store` (a URI that is not below the store's own), `claim-missing`, `claim-mismatch`,
        `claim-too-large`.
        """
        ...

    async def put(self, data: bytes) -> Claim:
        """Store `data` under its own hash; storing the same bytes twice keeps one object."""
        ...


class Embedder(Port, Protocol):
    """Turns texts into vectors."""

    @property
    def model(self) -> str:
        """Fingerprint of weights and pooling, known after `open`; equal fingerprints give comparable vectors."""
        ...

    @property
    def dimensions(self) -> int:
        """Known after `open`."""
        ...

    async def embed(self, texts: Sequence[str], *, role: Role) -> Vectors:
        """One L2-normalised, finite float32 row per text, in order: shape (len(texts), dimensions).

        Poison: `empty-text`, `bad-text` (no UTF-8 form).
        """
        ...


class SparseEncoder(Port, Protocol):
    """Weighs the words of texts, for an index whose server cannot."""

    async def encode(self, texts: Sequence[str], *, role: Role) -> Sequence[Mapping[int, float]]:
        """Per text, in order, finite weights above 0 by term number; empty where no term is known.

        Poison: `empty-text`, `bad-text` (no UTF-8 form).
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """Which version of a document searches see."""

    tenant: Tenant
    document_id: DocumentId
    version: int
    """The newest version known, published or deleted."""
    rows_version: int | None
    """The version whose chunks are live: below `version` where a new version changed nothing; none: deleted."""
    previous_rows_version: int | None
    """What was live before the flip; readers whose snapshot is older than `flipped_at` still see it."""
    flipped_at: datetime
    published_at: datetime
    digest: str
    chunk_count: int
    model: str
    title: str
    media_type: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """A question put to the index."""

    tenant: Tenant
    text: str
    vector: Vectors
    """Shape (dimensions,)."""
    model: str
    """Fingerprint of the model that made the vector."""
    limit: int
    principals: tuple[str, ...] = ()
    filters: Mapping[str, Scalar | tuple[Scalar, ...]] = field(default_factory=dict)
    heads: tuple[Head, ...] = ()
    """As `Index.newest` gave them: of these documents the search shows what they name, or newer, however it may lag."""


@dataclass(frozen=True, slots=True)
class Stored:
    """What the index holds of one version of a document."""

    chunks: int
    embedded: int
    """Of these, chunks whose vector was computed for this version; the others were reused."""


class Index(Port, Protocol):
    """Holds chunks and heads. Each write is idempotent, so that every step can be repeated from its event.

    A write or a search with another model than the first write's is refused: Poison `model-mismatch`.
    """

    async def model(self) -> str | None:
        """Fingerprint of the model whose vectors are stored; none before the first write."""
        ...

    async def head(self, tenant: Tenant, document_id: DocumentId) -> Head | None:
        """Read your writes: never older than the last `flip` that returned here.

        What others flipped may be missing as long as a search may lag: a writer that acts on it makes rows that lose.
        """
        ...

    async def newest(self, tenant: Tenant, versions: Mapping[DocumentId, int]) -> Mapping[DocumentId, Head]:
        """The heads of these documents, whoever flipped them and deletions included; absent where there is none.

        Never older than the given version where its flip, or that of a newer one, has returned anywhere. Cheap enough
        to be asked again and again until that is so.
        """
        ...

    async def vectors(
        self, tenant: Tenant, document_id: DocumentId, text_hashes: Sequence[str], *, model: str
    ) -> Mapping[str, Vectors]:
        """The vectors, shape (dimensions,), that this document's chunks already have, by text hash; others absent."""
        ...

    async def write(self, event: ChunksEmbedded) -> None:
        """Store a slice's chunks, invisible until the head names their version.

        Poison: `too-large-for-index` where a text does not fit its field.
        """
        ...

    async def count(self, document: Document) -> Stored:
        """How many chunks of this version and digest are stored."""
        ...

    async def flip(self, head: Head) -> None:
        """Make `head` the document's head, unless a newer one is there. Its rows must be written before."""
        ...

    async def erase(self, tenant: Tenant, document_id: DocumentId, *, up_to_version: int) -> Mapping[str, int]:
        """Remove the chunks and the older heads of all versions up to this one; how many rows went, by collection.

        Versions that were under way are removed too. The newest head stays, without title: it keeps late ones out; the
        heads of earlier deletions go uncounted.
        """
        ...

    async def search(self, search: Search) -> Sequence[Passage]:
        """Up to `limit` passages by dense and BM25 search in one, best first; of each document exactly one version."""
        ...

    async def heads(self, tenant: Tenant, *, limit: int = 1000) -> Sequence[Head]:
        """The documents of a tenant that are not deleted, by id."""
        ...

    async def chunks(self, tenant: Tenant, document_id: DocumentId) -> Sequence[Chunk]:
        """The live chunks of a document in order; empty where there is none."""
        ...

    async def sweep(self) -> int:
        """Delete chunks that no reader can see any more; how many. Called now and then by the upserting worker."""
        ...


class Reranker(Port, Protocol):
    """Judges how well passages answer a question."""

    async def rerank(self, question: str, passages: Sequence[Passage]) -> Sequence[float]:
        """One score in [0, 1] per passage, in order; higher is better, and comparable between questions."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Fragment:
    """The next piece of an answer."""

    text: str
    passage: int | None = None
    """Index of the passage that this piece is quoted from, where the generator quotes."""
    usage: Usage | None = None
    """On the last fragment."""


class Generator(Port, Protocol):
    """Writes answers from evidence."""

    @property
    def mode(self) -> AnswerMode: ...

    @property
    def model(self) -> str:
        """Name of the model for the answer's record; known after `open`."""
        ...

    def generate(self, question: str, passages: Sequence[Passage]) -> AsyncGenerator[Fragment, None]:
        """The answer, piece by piece. Closing the iterator stops the generation where it runs."""
        ...
