"""What stands in for models and stores keeps the ports' promises."""

import numpy as np
import pytest

from benchmarks.substitutes import TableEmbedder, WordsEmbedder


@pytest.mark.parametrize("embedder", [TableEmbedder(), WordsEmbedder()])
async def test_every_text_gets_a_unit_vector_of_its_own(embedder: TableEmbedder) -> None:
    vectors = await embedder.embed(["a b", "c d", "a b"], role="passage")
    assert vectors.shape == (3, embedder.dimensions)
    assert vectors.dtype == np.float32
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1)
    assert np.array_equal(vectors[0], vectors[2])
    assert not np.array_equal(vectors[0], vectors[1])


async def test_texts_that_share_words_are_near_each_other() -> None:
    one, near, far = await WordsEmbedder().embed(["the old mill", "an old mill", "some other words"], role="passage")
    assert one @ near > one @ far
