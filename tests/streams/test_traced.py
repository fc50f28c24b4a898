"""Port calls as spans: what they say, what they keep to themselves, and that they change nothing."""

from contextlib import aclosing

import numpy as np
import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode, Tracer

from processors.backends.documents.parser import DocumentParser
from processors.backends.embedded.sentence_vectors import SentenceVectors
from processors.backends.embedded.sentences import SentenceExtractor, SentenceReranker
from processors.errors import Poison
from processors.ports import Port
from schemas import DocumentId, Passage
from streams.traced import Spans, TracedEmbedder, TracedGenerator, TracedParser, TracedReranker
from tests.processors.hashed_words import HashedWords

PASSAGES = [
    Passage(
        document_id=DocumentId("handbook"),
        version=3,
        ordinal=ordinal,
        title="",
        text=text,
        page=None,
        section=(),
        start=0,
        end=len(text),
        metadata={},
        scores={"dense": 0.5, "fused": 0.7},
    )
    for ordinal, text in enumerate(("Leave is thirty days. It expires in March.", "Trains are booked in second class."))
]


class Recorder:
    """A tracer, and the spans that it finished."""

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        provider = TracerProvider(shutdown_on_exit=False)
        provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.tracer: Tracer = provider.get_tracer("test")

    @property
    def span(self) -> ReadableSpan:
        [span] = self._exporter.get_finished_spans()
        return span

    def spans(self, *, content: bool = False) -> Spans:
        return Spans(self.tracer, content)


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


async def test_an_embedding_names_its_model_and_how_many_texts(recorder: Recorder) -> None:
    plain = HashedWords()
    embedder = TracedEmbedder(plain, recorder.spans())
    await embedder.open()
    vectors = await embedder.embed(["a secret", "another"], role="passage")
    assert np.array_equal(vectors, await plain.embed(["a secret", "another"], role="passage"))
    assert (embedder.model, embedder.dimensions) == (plain.model, plain.dimensions)
    assert recorder.span.name == "embed passage"
    assert dict(recorder.span.attributes or {}) == {
        "openinference.span.kind": "EMBEDDING",
        "embedding.model_name": plain.model,
        "headwater.texts": 2,
    }


async def test_texts_are_on_spans_only_where_the_settings_ask_for_them(recorder: Recorder) -> None:
    embedder = TracedEmbedder(HashedWords(), recorder.spans(content=True))
    await embedder.open()
    await embedder.embed(["a secret"], role="query")
    assert (recorder.span.attributes or {})["embedding.embeddings.0.embedding.text"] == "a secret"


async def test_reranking_names_the_passages_with_their_scores(recorder: Recorder) -> None:
    reranker = TracedReranker(SentenceReranker(SentenceVectors(HashedWords())), recorder.spans())
    await reranker.open()
    scores = await reranker.rerank("How many days of leave?", PASSAGES)
    attributes = recorder.span.attributes or {}
    assert attributes["openinference.span.kind"] == "RERANKER"
    assert attributes["reranker.output_documents.0.document.id"] == "handbook@3#0"
    assert attributes["reranker.output_documents.1.document.score"] == pytest.approx(scores[1])
    assert "Leave" not in str(attributes)


async def test_a_generation_ends_its_span_when_its_reader_leaves(recorder: Recorder) -> None:
    generator = TracedGenerator(SentenceExtractor(SentenceVectors(HashedWords())), recorder.spans(content=True))
    await generator.open()
    async with aclosing(generator.generate("How many days of leave?", PASSAGES)) as fragments:
        first = await anext(fragments)
    attributes = recorder.span.attributes or {}
    assert recorder.span.name == "generate extractive"
    assert attributes["output.value"] == first.text
    assert [event.name for event in recorder.span.events] == ["first words"]


async def test_a_failure_ends_the_span_in_error_and_passes_through(recorder: Recorder) -> None:
    parser = TracedParser(DocumentParser(), recorder.spans())
    await parser.open()
    try:
        with pytest.raises(Poison, match="empty-document"):
            await parser.parse(b"", media_type="text/plain", filename="empty.txt")
    finally:
        await parser.close()
    assert recorder.span.status.status_code is StatusCode.ERROR
    assert (recorder.span.status.description or "").startswith("Poison: empty-document")


def test_what_is_traced_is_a_port_still(recorder: Recorder) -> None:
    assert isinstance(TracedEmbedder(HashedWords(), recorder.spans()), Port)
