"""TEI's three ports on a stand-in that really computes: contracts, and that it is the model that was asked for."""

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack

import pytest

from processors.backends.tei.ports import TeiEmbedder, TeiReranker, TeiSparseEncoder
from processors.errors import Poison, Transient
from processors.ports import Embedder, Probed, Reranker, SparseEncoder
from tests.processors.backends.tei.ports import at, opened, serving
from tests.processors.embedder_contract import EmbedderContract
from tests.processors.reranker_contract import RerankerContract
from tests.servers.tei.process import Tei, tei


def shared(*flags: str) -> Iterator[Tei]:
    with tei(*flags) as server:
        yield server


@pytest.fixture(scope="module")
def minilm() -> Iterator[Tei]:
    yield from shared("--model", "minilm")


@pytest.fixture(scope="module")
def pairs() -> Iterator[Tei]:
    yield from shared("--model", "minilm-reranker")


@pytest.fixture(scope="module")
def splade() -> Iterator[Tei]:
    yield from shared("--model", "minilm-sparse")


class TestEmbedder(EmbedderContract):
    @pytest.fixture
    async def embedder(self, minilm: Tei) -> AsyncIterator[Embedder]:
        async with opened(TeiEmbedder(at(minilm))) as embedder:
            yield embedder


class TestReranker(RerankerContract):
    @pytest.fixture
    async def reranker(self, pairs: Tei) -> AsyncIterator[Reranker]:
        async with opened(TeiReranker(at(pairs))) as reranker:
            yield reranker


class TestSparseEncoder:
    @pytest.fixture
    async def encoder(self, splade: Tei) -> AsyncIterator[SparseEncoder]:
        async with opened(TeiSparseEncoder(at(splade))) as encoder:
            yield encoder

    async def test_texts_that_share_words_share_terms(self, encoder: SparseEncoder) -> None:
        tower, soup = await encoder.encode(["The tower was built in 1889.", "Cold soup of tomatoes."], role="passage")
        [asked] = await encoder.encode(["Who built the tower?"], role="query")
        assert all(weight > 0 for weight in (*tower.values(), *soup.values(), *asked.values()))
        assert score(asked, tower) > score(asked, soup)

    async def test_blank_and_broken_texts_are_poison(self, encoder: SparseEncoder) -> None:
        with pytest.raises(Poison, match="text 1 of 2"):
            await encoder.encode(["fine", " "], role="passage")
        with pytest.raises(Poison, match="UTF-8"):
            await encoder.encode(["\ud83d"], role="query")
        assert list(await encoder.encode([], role="passage")) == []

    async def test_it_says_what_it_is(self, encoder: SparseEncoder) -> None:
        assert "minilm-sparse/splade" in await encoder.check()


def score(one: Mapping[int, float], other: Mapping[int, float]) -> float:
    return sum(weight * other.get(term, 0.0) for term, weight in one.items())


async def test_the_one_line_names_model_address_limits_and_what_was_cut(minilm: Tei) -> None:
    async with opened(TeiEmbedder(at(minilm))) as embedder:
        assert embedder.model == "minilm/mean"
        assert await embedder.check() == (
            f"minilm/mean, 384 dimensions, at {minilm.url}, text-embeddings-inference 1.9.3, 512 texts at once, "
            "32 in a list; 0 of 0 texts cut at 256 tokens"
        )
        assert isinstance(embedder, Probed)
        await embedder.healthy()


async def test_the_revision_is_part_of_the_fingerprint() -> None:
    async with (
        serving("--model-id", "org/minilm", "--sha", "fca14538aa9956a46526bd1d0d11d69e19b5a101") as server,
        opened(TeiEmbedder(at(server))) as embedder,
    ):
        assert embedder.model == "org/minilm/fca14538aa99/mean"


async def test_a_server_of_another_kind_is_refused_at_the_start(minilm: Tei, pairs: Tei, splade: Tei) -> None:
    for port, server, kinds in (
        (TeiEmbedder, pairs, "kind is reranker; embedder needs embedding"),
        (TeiEmbedder, splade, "kind is sparse embedding; embedder needs embedding"),
        (TeiReranker, minilm, "kind is embedding; reranker needs reranker"),
        (TeiSparseEncoder, minilm, "kind is embedding; sparse needs sparse embedding"),
    ):
        with pytest.raises(Poison, match=kinds) as raised:
            async with opened(port(at(server))):
                pass
        assert raised.value.code == "wrong-model"


async def test_a_key_is_needed_where_the_server_has_one() -> None:
    async with serving("--api-key", "s3cret") as server:
        for key in ("", "wrong"):
            with pytest.raises(Poison, match="set embedder_key") as raised:
                async with opened(TeiEmbedder(at(server), key=key)):
                    pass
            assert raised.value.code == "unauthorized"
        async with opened(TeiEmbedder(at(server), key="s3cret")) as embedder:
            assert (await embedder.embed(["hello"], role="query")).shape == (1, 384)


async def test_a_model_replaced_under_way_is_noticed_before_its_first_vector_is_used() -> None:
    async with AsyncExitStack() as stack:
        async with serving("--model-id", "first") as server:
            embedder = await stack.enter_async_context(opened(TeiEmbedder(at(server))))
            before = await embedder.embed(["hello"], role="query")
        with pytest.raises(Transient, match="is the server running"):
            await embedder.embed(["hello"], role="query")
        port = ("--port", str(server.port))
        async with serving("--model-id", "second", *port):
            for _ in range(2):
                with pytest.raises(Transient, match=r"serves 'second/mean'.* served 'first/mean' before"):
                    await embedder.embed(["hello"], role="query")
            with pytest.raises(Poison, match="second"):
                await embedder.check()
        limits = ("--max-client-batch-size", "4", "--max-concurrent-requests", "8")
        async with serving("--model-id", "first", *limits, *port):
            assert (await embedder.embed(["hello"], role="query")).tolist() == before.tolist()
            assert "4 in a list" in await embedder.check()
            assert len(await embedder.embed(["hello"] * 40, role="passage")) == 40
