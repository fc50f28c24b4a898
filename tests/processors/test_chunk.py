"""The chunk stage: documents in, slices out."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime

import pytest
import pytest_asyncio

from processors.backends.documents.parser import DocumentParser
from processors.backends.objects import UrlObjectStore
from processors.chunk import CLAIMS_AT_ONCE, MAX_SLICE_CHARS, MAX_SLICE_CHUNKS, Chunk
from processors.chunking import ChunkingRule, ChunkingRules
from processors.errors import Poison
from processors.ports import Element
from schemas import ChunksExtracted, Claim, DocumentDeleted, DocumentPublished, InlineBytes, InlineText, decode, encode
from tests.processors.parser_contract import DOCUMENTS

pytestmark = pytest.mark.asyncio(loop_scope="module")

WHEN = datetime(2026, 1, 1, tzinfo=UTC)
EVENT = DocumentPublished(
    tenant="acme",  # type: ignore[arg-type]
    document_id="handbook",  # type: ignore[arg-type]
    version=3,
    published_at=WHEN,
    source=InlineText(text="# Dome\n\nClose it at 18 metres per second.\n"),
    media_type="text/markdown",
    metadata={"team": "night", "year": 2024},
    readers=("crew", "office"),
)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def chunk() -> AsyncIterator[Chunk]:
    parser, objects = DocumentParser(), UrlObjectStore("memory://")
    await parser.open()
    await objects.open()
    yield Chunk(parser, objects, ChunkingRules())
    await parser.close()
    await objects.close()


async def slices(chunk: Chunk, event: DocumentPublished) -> list[ChunksExtracted]:
    found = await chunk(event)
    return [part for part in found if isinstance(part, ChunksExtracted)]


async def test_a_document_becomes_one_slice_that_carries_all_about_it(chunk: Chunk) -> None:
    (only,) = await slices(chunk, EVENT)
    assert (only.slice, only.slices) == (0, 1)
    assert only.key == EVENT.key == "acme/handbook"
    assert (only.document.version, only.document.published_at) == (3, WHEN)
    assert (only.document.title, only.document.chunk_count) == ("Dome", 1)
    assert (only.document.metadata, only.document.readers) == (EVENT.metadata, EVENT.readers)
    assert only.chunks[0].text == "Dome\n\nClose it at 18 metres per second."
    assert only.chunks[0].section == ("Dome",)


async def test_a_deletion_passes_through(chunk: Chunk) -> None:
    event = DocumentDeleted(tenant=EVENT.tenant, document_id=EVENT.document_id, version=4, published_at=WHEN)
    assert await chunk(event) == [event]


async def test_inline_bytes_and_a_claim_give_the_same_document(chunk: Chunk) -> None:
    data = DOCUMENTS["mirror-care.docx"]
    inline = replace(EVENT, source=InlineBytes(data=data), media_type="application/octet-stream", filename="care.docx")
    claimed = replace(inline, source=await chunk.objects.put(data))
    assert await slices(chunk, inline) == await slices(chunk, claimed)


async def test_only_a_few_claimed_documents_are_in_memory_at_once(
    chunk: Chunk, monkeypatch: pytest.MonkeyPatch
) -> None:
    claim = await chunk.objects.put(b"A pump.")
    held = most = 0
    get, parse = UrlObjectStore.get, DocumentParser.parse

    async def fetched(store: UrlObjectStore, claim: Claim) -> bytes:
        nonlocal held, most
        held, most = held + 1, max(most, held + 1)
        return await get(store, claim)

    async def parsed(parser: DocumentParser, data: bytes, *, media_type: str, filename: str) -> Sequence[Element]:
        nonlocal held
        elements = await parse(parser, data, media_type=media_type, filename=filename)
        held -= 1
        return elements

    monkeypatch.setattr(UrlObjectStore, "get", fetched)
    monkeypatch.setattr(DocumentParser, "parse", parsed)
    await asyncio.gather(*(chunk(replace(EVENT, source=claim)) for _ in range(12)))
    assert (held, most) == (0, CLAIMS_AT_ONCE)


async def test_a_long_document_travels_in_ordered_slices_that_fit_a_record(chunk: Chunk) -> None:
    text = "\n\n".join(f"Paragraph {number}. " + "It goes on for a while. " * 40 for number in range(200))
    found = await slices(chunk, replace(EVENT, source=InlineText(text=text), media_type="text/plain"))
    assert [part.slice for part in found] == list(range(len(found)))
    assert {part.slices for part in found} == {len(found)}
    chunks = [passage for part in found for passage in part.chunks]
    assert [passage.ordinal for passage in chunks] == list(range(found[0].document.chunk_count))
    assert all(len(part.chunks) <= MAX_SLICE_CHUNKS for part in found)
    assert all(decode(encode(part), part.ce_type, (ChunksExtracted,)) == part for part in found)


async def test_slices_of_long_passages_stay_below_the_text_limit(chunk: Chunk) -> None:
    rules = ChunkingRules(profiles={"general": ChunkingRule(min_chars=9_000, max_chars=10_000)})
    found = await slices(
        replace(chunk, rules=rules), replace(EVENT, source=InlineText(text="word " * 150_000), media_type="text/plain")
    )
    assert len(found) > 2
    assert all(sum(len(passage.text) for passage in part.chunks) <= MAX_SLICE_CHARS for part in found)


async def test_the_digest_ignores_how_the_same_was_written_down(chunk: Chunk) -> None:
    (first,) = await slices(chunk, EVENT)
    same = replace(EVENT, version=4, readers=("office", "crew"), metadata={"year": 2024, "team": "night"})
    (second,) = await slices(chunk, same)
    assert first.document.digest == second.document.digest


@pytest.mark.parametrize(
    "change",
    [
        {"title": "Another"},
        {"metadata": {"team": "day", "year": 2024}},
        {"metadata": {"team": "night", "year": "2024"}},
        {"readers": ("crew",)},
        {"media_type": "text/plain"},
        {"source": InlineText(text="# Dome\n\nClose it at 19 metres per second.\n")},
        {"source": InlineText(text="## Dome\n\n# Close it at 18 metres per second.\n")},
    ],
    ids=str,
)
async def test_the_digest_changes_with_all_that_a_search_can_see(chunk: Chunk, change: dict[str, object]) -> None:
    (first,) = await slices(chunk, EVENT)
    (second,) = await slices(chunk, replace(EVENT, **change))  # type: ignore[arg-type]
    assert first.document.digest != second.document.digest


@pytest.mark.parametrize(
    ("change", "title"),
    [
        ({"title": "Given"}, "Given"),
        ({}, "Dome"),
        ({"media_type": "text/plain", "filename": "notes/dome.txt"}, "dome.txt"),
        ({"media_type": "text/plain"}, "handbook"),
    ],
)
async def test_the_title_is_given_or_the_first_heading_or_the_name(
    chunk: Chunk, change: dict[str, str], title: str
) -> None:
    assert (await slices(chunk, replace(EVENT, **change)))[0].document.title == title  # type: ignore[arg-type]


async def test_a_document_of_too_many_chunks_is_refused(chunk: Chunk) -> None:
    with pytest.raises(Poison, match=r"too-large.*'handbook'.*split"):
        await slices(replace(chunk, max_chunks=2), replace(EVENT, source=InlineText(text="A sentence. " * 500)))


async def test_metadata_that_would_not_travel_with_every_passage_is_refused(chunk: Chunk) -> None:
    with pytest.raises(Poison, match=r"metadata-too-large: 'handbook': 20,011 bytes of metadata") as error:
        await slices(chunk, replace(EVENT, metadata={"notes": "x" * 19_999}))
    assert error.value.code == "metadata-too-large"


async def test_one_line_of_many_megabytes_is_refused_quickly(chunk: Chunk) -> None:
    claim = await chunk.objects.put(b"x" * 30_000_000)
    with pytest.raises(Poison, match="too-large"):
        await slices(chunk, replace(EVENT, source=claim, media_type="text/plain"))


class Instant(DocumentParser):
    """Has read everything already."""

    async def parse(self, data: bytes, *, media_type: str, filename: str) -> Sequence[Element]:
        return [Element(kind="text", text=data.decode())]


async def test_a_long_text_lets_others_go_first_while_it_is_cut(chunk: Chunk) -> None:
    instant = replace(chunk, parser=Instant())
    finished: list[int] = []

    async def cut(text: str) -> None:
        await slices(instant, replace(EVENT, source=InlineText(text=text), media_type="text/plain"))
        finished.append(len(text))

    await asyncio.gather(cut("A sentence. " * 100_000), cut("short"))
    assert finished == [5, 1_200_000]


async def test_text_with_a_lone_surrogate_is_read(chunk: Chunk) -> None:
    (only,) = await slices(chunk, replace(EVENT, source=InlineText(text="odd \ud800 text"), media_type="text/plain"))
    assert only.chunks[0].text == "odd ? text"


async def test_a_poison_names_the_document_where_it_has_no_file_name(chunk: Chunk) -> None:
    with pytest.raises(Poison, match=r"empty-document.*'handbook'"):
        await slices(chunk, replace(EVENT, source=InlineText(text=" \n")))
