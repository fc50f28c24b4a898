"""The wiring: which processor reads which topic and writes which. Read this first."""

from typing import Protocol

from processors.chunk import Chunk
from processors.embed import Embed
from processors.generate import Generate
from processors.ports import Embedder, Generator, Index, ObjectStore, Parser, Reranker
from processors.rerank import Rerank
from processors.retrieve import Retrieve
from processors.upsert import Upsert
from schemas import AnswerMode
from streams.overload import limited
from streams.settings import Settings
from streams.topics import ANSWERS, CANDIDATES, CHUNKS, DOCUMENTS, EVIDENCE, QUERIES, RECEIPTS, VECTORS
from streams.wiring import Pipeline, Stage

STAGES = ("chunk", "embed", "upsert", "retrieve", "rerank", "generate")
"""The names of all, for those who choose among them."""


class Ports(Protocol):
    """The collaborators that the composition root provides."""

    @property
    def parser(self) -> Parser: ...
    @property
    def objects(self) -> ObjectStore: ...
    @property
    def embedder(self) -> Embedder: ...
    @property
    def index(self) -> Index: ...
    @property
    def reranker(self) -> Reranker: ...
    @property
    def generators(self) -> dict[AnswerMode, Generator]: ...


def ingest(ports: Ports, settings: Settings) -> Pipeline:
    return Pipeline(
        "ingest",
        (
            Stage("chunk", DOCUMENTS, Chunk(ports.parser, ports.objects, settings.chunking), CHUNKS),
            Stage("embed", CHUNKS, Embed(ports.embedder, ports.index), VECTORS),
            Stage("upsert", VECTORS, Upsert(ports.index), RECEIPTS),
        ),
        failures=RECEIPTS,
    )


def query(ports: Ports, settings: Settings) -> Pipeline:
    return Pipeline(
        "query",
        (
            Stage("retrieve", QUERIES, Retrieve(ports.embedder, ports.index), CANDIDATES),
            Stage("rerank", CANDIDATES, Rerank(ports.reranker), EVIDENCE),
            Stage(
                "generate",
                EVIDENCE,
                Generate(limited(ports.generators, settings.max_generations), settings.answer_mode),
                ANSWERS,
            ),
        ),
        failures=ANSWERS,
    )
