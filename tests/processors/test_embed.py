import numpy as np
import pytest

from processors.embed import Embed
from processors.ports import Index
from schemas import ChunksEmbedded, ChunksExtracted
from tests.processors.happenings import deleted, embedded, head, slices
from tests.processors.hashed_words import HashedWords

pytestmark = pytest.mark.stack


async def embed(index: Index, event: ChunksExtracted) -> tuple[ChunksEmbedded, list[str]]:
    """What comes out, and which texts the model was asked for."""
    embedder = HashedWords()
    [after] = await Embed(embedder, index)(event)
    assert isinstance(after, ChunksEmbedded)
    return after, embedder.texts


def rows(event: ChunksEmbedded) -> np.ndarray:
    return np.frombuffer(event.vectors, dtype="<f4").reshape(len(event.chunks), event.dimensions)


async def make_live(index: Index, event: ChunksExtracted) -> None:
    await index.write(await embedded(event))
    await index.flip(head(event))


async def test_every_chunk_gets_its_vector_in_order(index: Index) -> None:
    [event] = slices(["a red pump", "a blue valve"])
    after, asked = await embed(index, event)
    assert asked == ["a red pump", "a blue valve"]
    assert np.array_equal(rows(after), await HashedWords().embed(asked, role="passage"))
    assert (after.document, after.chunks, after.embedded) == (event.document, event.chunks, 2)
    assert (after.model, after.dimensions) == ("hashed-words", 64)


async def test_a_changed_line_embeds_only_its_chunk(index: Index) -> None:
    [before] = slices(["one", "two", "three"])
    await make_live(index, before)
    [event] = slices(["zero", "one", "2", "three"], version=2)
    after, asked = await embed(index, event)
    assert asked == ["zero", "2"]
    assert after.embedded == 2
    assert rows(after) == pytest.approx(await HashedWords().embed(["zero", "one", "2", "three"], role="passage"))


async def test_unchanged_text_embeds_nothing(index: Index) -> None:
    [before] = slices(["one", "two"])
    await make_live(index, before)
    [event] = slices(["one", "two"], version=2, metadata={"new": True}, readers=("ann",))
    after, asked = await embed(index, event)
    assert asked == []
    assert after.embedded == 0


async def test_a_text_that_occurs_twice_in_a_slice_is_embedded_once(index: Index) -> None:
    [event] = slices(["same", "other", "same"])
    after, asked = await embed(index, event)
    assert asked == ["same", "other"]
    assert after.embedded == 2
    assert np.array_equal(rows(after)[0], rows(after)[2])


async def test_another_documents_vectors_are_not_taken(index: Index) -> None:
    [before] = slices(["one"], document_id="other")
    await make_live(index, before)
    [event] = slices(["one"])
    assert (await embed(index, event))[1] == ["one"]


async def test_a_deletion_passes_through(index: Index) -> None:
    event = deleted(version=2)
    embedder = HashedWords()
    assert await Embed(embedder, index)(event) == [event]
    assert embedder.texts == []


async def test_a_large_document_is_looked_up_slice_by_slice(index: Index) -> None:
    texts = [f"chunk {number}" for number in range(200)]
    for before in slices(texts):
        await index.write(await embedded(before))
    await index.flip(head(before))
    texts[150] = "a changed line"
    embedder = HashedWords()
    embed = Embed(embedder, index)
    after = [event for part in slices(texts, version=2) for event in await embed(part)]
    assert embedder.texts == ["a changed line"]
    found = np.concatenate([rows(event) for event in after if isinstance(event, ChunksEmbedded)])
    assert found == pytest.approx(await HashedWords().embed(texts, role="passage"))
