"""Texts that a TEI cannot compute or accept: which one it was, and nobody else's trouble."""

import asyncio

import numpy as np
import pytest

from processors.backends.tei.ports import TeiEmbedder, TeiReranker
from processors.errors import Poison, Transient
from tests.processors.backends.tei.ports import at, opened, serving
from tests.processors.models import evidence


async def test_a_text_that_breaks_the_model_is_named_and_takes_no_other_with_it() -> None:
    async with serving("--fail-text", "BOOM") as server, opened(TeiEmbedder(at(server))) as embedder:
        good = [[f"Document {document}, text {number}." for number in range(8)] for document in range(12)]
        bad = [f"Text {number}." for number in range(50)]
        bad[17] = "This goes BOOM."
        *fine, broken, question = await asyncio.gather(
            *(embedder.embed(texts, role="passage") for texts in good),
            embedder.embed(bad, role="passage"),
            embedder.embed(["BOOM?"], role="query"),
            return_exceptions=True,
        )
        assert all(isinstance(vectors, np.ndarray) and vectors.shape == (8, 384) for vectors in fine)
        for error, place in ((broken, "text 17 of 50"), (question, "text 0 of 1")):
            assert isinstance(error, Poison)
            assert error.code == "model-failed"
            assert place in error.detail
            assert "BOOM" in error.detail


async def test_a_question_that_breaks_the_reranker_is_poison() -> None:
    async with (
        serving("--model", "minilm-reranker", "--fail-text", "BOOM") as server,
        opened(TeiReranker(at(server))) as reranker,
    ):
        with pytest.raises(Poison, match="BOOM"):
            await reranker.rerank("What is BOOM?", evidence())
        assert len(await reranker.rerank("When was the tower built?", evidence())) == 3


@pytest.mark.parametrize("output", ["zeros", "nan"])
async def test_a_model_that_fails_for_every_text_is_an_outage(output: str) -> None:
    async with serving("--output", output) as server:
        with pytest.raises(Transient, match=r"fails for every text.*see its log"):
            async with opened(TeiEmbedder(at(server))):
                pass


async def test_a_list_over_the_payload_limit_is_sent_in_parts() -> None:
    async with serving("--payload-limit", "3000") as server, opened(TeiEmbedder(at(server))) as embedder:
        vectors = await embedder.embed(["tower " * 60] * 20, role="passage")
        assert vectors.shape == (20, 384)
        with pytest.raises(Poison, match=r"text 1 of 2.*payload-limit") as raised:
            await embedder.embed(["fine", "tower " * 600], role="passage")
        assert raised.value.code == "too-large"
