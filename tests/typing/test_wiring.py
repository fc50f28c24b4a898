"""A table that is wired wrongly does not get past the type checker."""

from pathlib import Path

from mypy import api

TABLE = """
from collections.abc import AsyncIterator, Sequence
from streams.topics import ANSWERS, CANDIDATES, CHUNKS, DOCUMENTS, EVIDENCE, QUERIES, VECTORS
from streams.wiring import Stage
from schemas import (
    AnswerCompleted, AnswerDelta, AnswerRefused, ChunksExtracted, DocumentDeleted, DocumentPublished,
    PassagesRanked, PassagesRetrieved, QueryAsked,
)

class X(Exception): pass


async def chunk(event: DocumentPublished | DocumentDeleted, /) -> Sequence[ChunksExtracted | DocumentDeleted]: raise X
async def chunk_published(event: DocumentPublished, /) -> Sequence[ChunksExtracted | DocumentDeleted]: raise X
async def retrieve(event: QueryAsked, /) -> Sequence[PassagesRetrieved]: raise X
async def retrieve_one(event: QueryAsked, /) -> PassagesRetrieved: raise X
def retrieve_at_once(event: QueryAsked, /) -> Sequence[PassagesRetrieved]: raise X
def generate(event: PassagesRanked, /) -> AsyncIterator[AnswerDelta | AnswerCompleted | AnswerRefused]: raise X


right = (
    Stage("chunk", DOCUMENTS, chunk, CHUNKS),
    Stage("retrieve", QUERIES, retrieve, CANDIDATES),
    Stage("generate", EVIDENCE, generate, ANSWERS),
)
reads_another_topic = Stage("chunk", VECTORS, chunk, CHUNKS)  # wrong
writes_another_topic = Stage("chunk", DOCUMENTS, chunk, VECTORS)  # wrong
knows_half_of_its_topic = Stage("chunk", DOCUMENTS, chunk_published, CHUNKS)  # wrong
skips_a_stage = Stage("retrieve", QUERIES, retrieve, EVIDENCE)  # wrong
replies_with_passages = Stage("retrieve", QUERIES, retrieve, ANSWERS)  # wrong
returns_one_event = Stage("retrieve", QUERIES, retrieve_one, CANDIDATES)  # wrong
is_not_asynchronous = Stage("retrieve", QUERIES, retrieve_at_once, CANDIDATES)  # wrong
topics_swapped = Stage("retrieve", CANDIDATES, retrieve, QUERIES)  # wrong
"""


def test_every_miswired_stage_is_a_type_error_and_no_other(tmp_path: Path) -> None:
    table = tmp_path / "table.py"
    table.write_text(TABLE)
    report, problems, _ = api.run(["--strict", "--config-file=", "--cache-dir", str(tmp_path / "cache"), str(table)])
    assert problems == ""
    wrong = {number for number, line in enumerate(TABLE.splitlines(), 1) if line.endswith("# wrong")}
    complaints = {int(line.split(":")[1]) for line in report.splitlines() if ": error: " in line}
    assert complaints == wrong, report
