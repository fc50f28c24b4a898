"""Chunk: documents in, slices of their passages out."""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import PurePath

import orjson

from processors.chunking import ChunkingRule, ChunkingRules
from processors.errors import Poison
from processors.passages import passages
from processors.ports import Element, ObjectStore, Parser
from processors.turns import Slots
from schemas import Chunk as Passage
from schemas import (
    ChunksExtracted,
    Claim,
    Document,
    DocumentDeleted,
    DocumentPublished,
    InlineBytes,
    InlineText,
    digest,
)

CLAIMS_AT_ONCE = 3
"""The runtime's window counts the bytes of a record, not those of the document that it claims: up to 256 MB each."""
MAX_SLICE_CHUNKS = 128
MAX_SLICE_CHARS = 256 * 1024
"""With a record limit of 4 MB this leaves room for JSON escapes and for the vectors."""
LONG_CHARS = 200_000
"""A million characters take 0.2 s to cut: longer texts are cut beside the event loop, which others need meanwhile."""

MAX_METADATA_BYTES = 16 * 1024
"""It travels with each passage of a question's candidates, of which one record holds some sixty."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """Read a published document and cut it into passages, in slices that fit one Kafka record.

    Deletions pass through, so that they stay in order behind the versions before them.
    """

    parser: Parser
    objects: ObjectStore
    rules: ChunkingRules
    max_chunks: int = 20_000
    claims: Slots = field(default_factory=lambda: Slots(CLAIMS_AT_ONCE))
    """How many claimed documents are in memory at once."""

    async def __call__(
        self, event: DocumentPublished | DocumentDeleted, /
    ) -> Sequence[ChunksExtracted | DocumentDeleted]:
        if isinstance(event, DocumentDeleted):
            return [event]
        name = event.filename or event.document_id
        if (size := len(orjson.dumps(event.metadata))) > MAX_METADATA_BYTES:
            raise Poison(
                "metadata-too-large",
                f"{name!r}: {size:,} bytes of metadata, at most {MAX_METADATA_BYTES:,} travel with each passage: "
                "keep what questions filter by, and put the rest into the text",
            )
        elements = await self._elements(event, name)
        rule = self.rules.rule(media_type=event.media_type, profile=event.profile)
        chars = sum(len(element.text) for element in elements)
        found = await _cut(elements, rule, chars) if chars <= self.max_chunks * rule.max_chars else ()
        if not 0 < len(found) <= self.max_chunks:
            raise Poison("too-large", f"{name!r}: {chars:,} characters are over {self.max_chunks:,} chunks: split it")
        document = _document(event, found, title=event.title or _heading(elements) or PurePath(name).name)
        slices = list(_slices(found))
        return [
            ChunksExtracted(document=document, slice=number, slices=len(slices), chunks=tuple(part))
            for number, part in enumerate(slices)
        ]

    async def _elements(self, event: DocumentPublished, name: str) -> Sequence[Element]:
        match event.source:
            case InlineText(text=text):
                media_type = f"{event.media_type}; charset=utf-8"
                return await self.parser.parse(text.encode("utf-8", "replace"), media_type=media_type, filename=name)
            case InlineBytes(data=data):
                return await self.parser.parse(data, media_type=event.media_type, filename=name)
            case Claim() as claim:
                async with self.claims.held(claim.size_bytes):
                    data = await self.objects.get(claim)
                    return await self.parser.parse(data, media_type=event.media_type, filename=name)


async def _cut(elements: Sequence[Element], rule: ChunkingRule, chars: int) -> Sequence[Passage]:
    if chars > LONG_CHARS:
        return await asyncio.to_thread(passages, elements, rule)
    return passages(elements, rule)


def _heading(elements: Sequence[Element]) -> str:
    return next((element.text[:512] for element in elements if element.kind == "title"), "")


def _document(event: DocumentPublished, passages: Sequence[Passage], *, title: str) -> Document:
    return Document(
        tenant=event.tenant,
        document_id=event.document_id,
        version=event.version,
        published_at=event.published_at,
        media_type=event.media_type,
        title=title,
        metadata=event.metadata,
        readers=event.readers,
        digest=digest(_identity(event, passages, title)),
        chunk_count=len(passages),
    )


def _identity(event: DocumentPublished, passages: Sequence[Passage], title: str) -> Iterator[str]:
    """All that a search can see of a document, in an order that does not depend on how it was written down."""
    yield title
    yield event.media_type
    yield orjson.dumps(event.metadata, option=orjson.OPT_SORT_KEYS).decode()
    yield orjson.dumps(sorted(set(event.readers))).decode()
    for passage in passages:
        yield passage.text_hash
        yield orjson.dumps([passage.page, passage.section]).decode()


def _slices(passages: Sequence[Passage]) -> Iterator[list[Passage]]:
    part: list[Passage] = []
    chars = 0
    for passage in passages:
        if part and (len(part) == MAX_SLICE_CHUNKS or chars + len(passage.text) > MAX_SLICE_CHARS):
            yield part
            part, chars = [], 0
        part.append(passage)
        chars += len(passage.text)
    yield part
