"""What every Embedder must do. A backend's tests inherit this and provide `embedder`, open."""

import asyncio

import numpy as np
import pytest

from processors.errors import Poison
from processors.ports import Embedder

ODD = [
    "WHO BUILT THIS?",
    "\U0001f600" * 40,
    "Wo liegt der Bahnhof?",
    "\u6771\u4eac\u306f\u3069\u3053",
    "a",
    "word " * 1600,
]


class EmbedderContract:
    """Behaviour that does not depend on the model."""

    async def test_rows_are_finite_and_of_unit_length_in_the_order_of_the_texts(self, embedder: Embedder) -> None:
        vectors = await embedder.embed(ODD, role="passage")
        assert vectors.shape == (len(ODD), embedder.dimensions)
        assert vectors.dtype == np.float32
        assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
        alone = await embedder.embed(ODD[2:3], role="passage")
        assert float(vectors[2] @ alone[0]) > 0.999

    async def test_a_question_is_nearer_to_its_answer_than_to_another_text(self, embedder: Embedder) -> None:
        [question] = await embedder.embed(["When was the tower built?"], role="query")
        answer, other = await embedder.embed(
            ["The tower was built in 1889.", "Soup is served cold in summer."], role="passage"
        )
        assert question @ answer > question @ other + 0.2

    async def test_no_texts_give_no_rows(self, embedder: Embedder) -> None:
        assert (await embedder.embed([], role="passage")).shape == (0, embedder.dimensions)

    @pytest.mark.parametrize("blank", ["", " \n\t"])
    async def test_blank_text_is_poison_that_says_which(self, embedder: Embedder, blank: str) -> None:
        with pytest.raises(Poison, match="text 1 of 2") as raised:
            await embedder.embed(["fine", blank], role="passage")
        assert raised.value.code == "empty-text"

    async def test_many_calls_at_once_get_each_their_own_rows(self, embedder: Embedder) -> None:
        texts = [f"Paragraph number {number} is about the town of Ex{number}." for number in range(24)]
        together = await asyncio.gather(*(embedder.embed([text], role="passage") for text in texts))
        one_by_one = await embedder.embed(texts, role="passage")
        assert np.allclose(np.concatenate(together), one_by_one, atol=0.02)

    async def test_a_cancelled_call_leaves_the_others_alone(self, embedder: Embedder) -> None:
        calls = [asyncio.create_task(embedder.embed(["word " * 200] * 4, role="passage")) for _ in range(3)]
        await asyncio.sleep(0)
        calls[1].cancel()
        first, second, third = await asyncio.gather(*calls, return_exceptions=True)
        assert isinstance(second, asyncio.CancelledError)
        assert not isinstance(first, BaseException)
        assert not isinstance(third, BaseException)

    async def test_the_model_has_a_fingerprint_and_says_that_it_works(self, embedder: Embedder) -> None:
        assert embedder.model
        assert embedder.model in await embedder.check()
