"""Ports with spans around their calls, in the words of OpenInference; backends contain no tracing.

Texts stand on spans only where the setting `trace_content` asks for them.
"""

from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import aclosing, contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Generic, TypeVar

from opentelemetry.trace import Span, StatusCode, Tracer, use_span

from processors.errors import Poison, Transient
from processors.ports import (
    Element,
    Embedder,
    Fragment,
    Generator,
    Head,
    Index,
    ObjectStore,
    Parser,
    Port,
    Reranker,
    Role,
    Search,
    Stored,
    Vectors,
)
from schemas import AnswerMode, Chunk, ChunksEmbedded, Document, DocumentId, Passage, Tenant, Usage
from streams.pipelines import Ports
from streams.truncation import truncated

KIND = "openinference.span.kind"
TEXTS = "headwater.texts"
"""How many texts an embedding was asked for."""
MAX_DOCUMENTS = 40
"""Passages named on a span: three attributes each stay below the SDK's limit of 128."""

P = TypeVar("P", bound=Port)


class TracedPorts:
    """The same collaborators, traced: parsing, embedding, the index, reranking and generation."""

    def __init__(self, ports: Ports, tracer: Tracer, *, content: bool) -> None:
        self._ports = ports
        self._spans = Spans(tracer, content)

    @cached_property
    def parser(self) -> Parser:
        return TracedParser(self._ports.parser, self._spans)

    @property
    def objects(self) -> ObjectStore:
        return self._ports.objects

    @cached_property
    def embedder(self) -> Embedder:
        return TracedEmbedder(self._ports.embedder, self._spans)

    @cached_property
    def index(self) -> Index:
        return TracedIndex(self._ports.index, self._spans)

    @cached_property
    def reranker(self) -> Reranker:
        return TracedReranker(self._ports.reranker, self._spans)

    @cached_property
    def generators(self) -> dict[AnswerMode, Generator]:
        return {mode: TracedGenerator(port, self._spans) for mode, port in self._ports.generators.items()}


@dataclass(frozen=True, slots=True)
class Spans:
    """Makes the spans of port calls."""

    tracer: Tracer
    content: bool
    """Whether texts may stand on them."""

    @contextmanager
    def span(self, name: str, kind: str, attributes: Mapping[str, str | int] | None = None) -> Iterator[Span]:
        """A span for one call; what the call raises ends it in error, and says why in words of its own."""
        span = self.tracer.start_span(name, attributes={KIND: kind, **(attributes or {})})
        try:
            with use_span(span, record_exception=False, set_status_on_exception=False):
                yield span
        except (Poison, Transient) as error:
            span.set_status(StatusCode.ERROR, type(error).__name__ + ": " + str(error)[:300])
            raise
        finally:
            span.end()

    def name_documents(
        self, span: Span, prefix: str, passages: Sequence[Passage], scores: Sequence[float] | None = None
    ) -> None:
        about: dict[str, str | float] = {}
        for place, passage in enumerate(passages[:MAX_DOCUMENTS]):
            document = f"{prefix}.{place}.document"
            about[f"{document}.id"] = f"{passage.document_id}@{passage.version}#{passage.ordinal}"
            score = scores[place] if scores is not None else passage.scores.get("fused")
            if score is not None:
                about[f"{document}.score"] = float(score)
            if self.content:
                about[f"{document}.content"] = passage.text
        span.set_attributes(about)


@dataclass(slots=True)
class Traced(Generic[P]):
    """What all wrappers share: opening, closing and checking cost no span."""

    port: P
    spans: Spans

    async def open(self) -> None:
        await self.port.open()

    async def close(self) -> None:
        await self.port.close()

    async def check(self) -> str:
        return await self.port.check()

    @property
    def truncated(self) -> int:
        return truncated(self.port)


class TracedParser(Traced[Parser]):
    async def parse(self, data: bytes, *, media_type: str, filename: str) -> Sequence[Element]:
        about: dict[str, str | int] = {"headwater.media_type": media_type, "headwater.bytes": len(data)}
        with self.spans.span("parse", "CHAIN", about) as span:
            elements = await self.port.parse(data, media_type=media_type, filename=filename)
            span.set_attribute("headwater.elements", len(elements))
        return elements


class TracedEmbedder(Traced[Embedder]):
    @property
    def model(self) -> str:
        return self.port.model

    @property
    def dimensions(self) -> int:
        return self.port.dimensions

    async def embed(self, texts: Sequence[str], *, role: Role) -> Vectors:
        about: dict[str, str | int] = {"embedding.model_name": self.model, TEXTS: len(texts)}
        with self.spans.span(f"embed {role}", "EMBEDDING", about) as span:
            if self.spans.content:
                for place, text in enumerate(texts[:MAX_DOCUMENTS]):
                    span.set_attribute(f"embedding.embeddings.{place}.embedding.text", text)
            return await self.port.embed(texts, role=role)


class TracedReranker(Traced[Reranker]):
    async def rerank(self, question: str, passages: Sequence[Passage]) -> Sequence[float]:
        about = {"reranker.top_k": len(passages)}
        with self.spans.span("rerank passages", "RERANKER", about) as span:
            if self.spans.content:
                span.set_attribute("reranker.query", question)
            scores = await self.port.rerank(question, passages)
            self.spans.name_documents(span, "reranker.output_documents", passages, scores)
        return scores


class TracedGenerator(Traced[Generator]):
    @property
    def mode(self) -> AnswerMode:
        return self.port.mode

    @property
    def model(self) -> str:
        return self.port.model

    async def generate(self, question: str, passages: Sequence[Passage]) -> AsyncGenerator[Fragment, None]:
        # Not made current: a generator's consumer runs between its steps, and its spans are none of ours.
        kind, name = ("LLM", "llm.model_name") if self.mode == "generative" else ("CHAIN", "headwater.model")
        span = self.spans.tracer.start_span(f"generate {self.mode}", attributes={KIND: kind, name: self.model})
        if self.spans.content:
            span.set_attribute("input.value", question)
        written: list[str] = []
        try:
            async with aclosing(self.port.generate(question, passages)) as fragments:
                async for fragment in fragments:
                    if not written:
                        span.add_event("first words")
                    written.append(fragment.text)
                    if fragment.usage is not None:
                        _count(span, fragment.usage)
                    yield fragment
        except (Poison, Transient) as error:
            span.set_status(StatusCode.ERROR, type(error).__name__ + ": " + str(error)[:300])
            raise
        finally:
            if self.spans.content:
                span.set_attribute("output.value", "".join(written))
            span.end()


def _count(span: Span, usage: Usage) -> None:
    span.set_attribute("llm.token_count.prompt", usage.prompt_tokens)
    span.set_attribute("llm.token_count.completion", usage.completion_tokens)
    span.set_attribute("llm.token_count.total", usage.prompt_tokens + usage.completion_tokens)


class TracedIndex(Traced[Index]):
    """Spans for searches and writes; the small reads between them are too many and too short."""

    async def search(self, search: Search) -> Sequence[Passage]:
        with self.spans.span("search", "RETRIEVER", {"headwater.limit": search.limit}) as span:
            if self.spans.content:
                span.set_attribute("input.value", search.text)
            passages = await self.port.search(search)
            self.spans.name_documents(span, "retrieval.documents", passages)
        return passages

    async def write(self, event: ChunksEmbedded) -> None:
        with self.spans.span("write chunks", "CHAIN", {"headwater.chunks": len(event.chunks)}):
            await self.port.write(event)

    async def flip(self, head: Head) -> None:
        with self.spans.span("flip head", "CHAIN", {"headwater.version": head.version}):
            await self.port.flip(head)

    async def erase(self, tenant: Tenant, document_id: DocumentId, *, up_to_version: int) -> Mapping[str, int]:
        with self.spans.span("erase", "CHAIN", {"headwater.version": up_to_version}):
            return await self.port.erase(tenant, document_id, up_to_version=up_to_version)

    async def model(self) -> str | None:
        return await self.port.model()

    async def head(self, tenant: Tenant, document_id: DocumentId) -> Head | None:
        return await self.port.head(tenant, document_id)

    async def newest(self, tenant: Tenant, versions: Mapping[DocumentId, int]) -> Mapping[DocumentId, Head]:
        return await self.port.newest(tenant, versions)

    async def vectors(
        self, tenant: Tenant, document_id: DocumentId, text_hashes: Sequence[str], *, model: str
    ) -> Mapping[str, Vectors]:
        return await self.port.vectors(tenant, document_id, text_hashes, model=model)

    async def count(self, document: Document) -> Stored:
        return await self.port.count(document)

    async def heads(self, tenant: Tenant, *, limit: int = 1000) -> Sequence[Head]:
        return await self.port.heads(tenant, limit=limit)

    async def chunks(self, tenant: Tenant, document_id: DocumentId) -> Sequence[Chunk]:
        return await self.port.chunks(tenant, document_id)

    async def sweep(self) -> int:
        return await self.port.sweep()
