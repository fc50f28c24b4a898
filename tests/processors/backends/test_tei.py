"""TEI's three ports on a stand-in that really computes: contracts, limits, prompts, truncation, texts that fail."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TypeVar

import numpy as np
import pytest

from processors.backends.tei import TeiEmbedder, TeiReranker, TeiSparseEncoder
from processors.errors import Poison, Transient
from processors.ports import Embedder, Probed, Reranker, SparseEncoder
from tests.processors.embedder_contract import EmbedderContract
from tests.processors.models import evidence, passage
from tests.processors.reranker_contract import RerankerContract
from tests.servers.tei.flags import parse
from tests.servers.tei.model import MiniLm
from tests.servers.tei.process import Tei, tei
from tests.servers.tei.server import Server

P = TypeVar("P", TeiEmbedder, TeiReranker, TeiSparseEncoder)


@asynccontextmanager
async def opened(port: P) -> AsyncIterator[P]:
    try:
        await port.open()
        yield port
    finally:
        await port.close()


@asynccontextmanager
async def serving(*flags: str) -> AsyncIterator[Server]:
    """A stand-in with these flags in this process: there at once, and it can be looked into."""
    parsed = parse(flags)
    server = Server(parsed, MiniLm(parsed))
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


def at(server: Server | Tei) -> str:
    return f"tei+http://127.0.0.1:{server.port}"


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


@pytest.mark.parametrize(("permits", "longest"), [("4", "32"), ("1", "1"), ("64", "8")])
async def test_nothing_is_sent_that_the_server_would_refuse(permits: str, longest: str) -> None:
    limits = ("--max-concurrent-requests", permits, "--max-client-batch-size", longest)
    async with serving(*limits) as server, opened(TeiEmbedder(at(server))) as embedder:
        texts = [f"Text {number}" for number in range(70)]
        bulk = [embedder.embed(texts, role="passage") for _ in range(2)]
        asked = [embedder.embed([text], role="query") for text in texts[:10]]
        found = await asyncio.gather(*bulk, *asked)
        assert [len(rows) for rows in found] == [70, 70, *[1] * 10]
        assert not [name for name in server.engine.counts if "failure" in name]


async def test_a_question_does_not_wait_for_the_passages_that_came_before() -> None:
    async with serving("--max-concurrent-requests", "8") as server, opened(TeiEmbedder(at(server))) as embedder:
        bulk = asyncio.create_task(embedder.embed([f"Text {number}" for number in range(70)], role="passage"))
        await asyncio.sleep(0)
        await embedder.embed(["When was the tower built?"], role="query")
        assert not bulk.done()
        await bulk


async def test_a_cancelled_call_gives_its_permits_back() -> None:
    async with serving("--max-concurrent-requests", "8") as server, opened(TeiEmbedder(at(server))) as embedder:
        for delay_s in (0, 0.01, 0.1):  # before it is sent, under way, in the queue
            bulk = asyncio.create_task(embedder.embed(["tower " * 200] * 40, role="passage"))
            await asyncio.sleep(delay_s)
            bulk.cancel()
            with pytest.raises(asyncio.CancelledError):
                await bulk
        assert len(await embedder.embed(["short"] * 20, role="passage")) == 20


async def test_two_workers_that_share_a_server_come_through() -> None:
    """Neither knows of the other's permits: what is refused is asked again, as the runtime does."""
    async with (
        serving("--max-concurrent-requests", "32", "--max-client-batch-size", "8") as server,
        opened(TeiEmbedder(at(server))) as one,
        opened(TeiEmbedder(at(server))) as other,
    ):

        async def embed(embedder: TeiEmbedder, document: int) -> int:
            texts = [f"{document} {number}" for number in range(16)]
            while True:
                try:
                    return len(await embedder.embed(texts, role="passage"))
                except Transient as error:
                    await asyncio.sleep((error.retry_after_s or 60) / 10)

        found = await asyncio.gather(*(embed(each, document) for document in range(6) for each in (one, other)))
        assert found == [16] * 12
        assert server.engine.counts['te_request_failure{err="overloaded"}'] > 0


LONG = "tower " * 400
FULL = "tower " * 254
"""With its two special tokens exactly what the model reads."""


async def test_texts_over_the_longest_input_are_cut_and_counted_one_by_one(minilm: Tei) -> None:
    async with opened(TeiEmbedder(at(minilm))) as embedder:
        vectors = await embedder.embed(["short", LONG, FULL, "x" * 70_000], role="passage")
        assert embedder.truncated == 2
        assert float(vectors[1] @ vectors[2]) > 0.99  # what was cut off changes nothing
        [again] = await embedder.embed([LONG], role="query")
        assert embedder.truncated == 3
        assert float(again @ vectors[1]) > 0.999
        assert "3 of 5 texts cut at 256 tokens" in await embedder.check()


async def test_a_pair_over_the_longest_input_is_cut_and_counted(pairs: Tei) -> None:
    async with opened(TeiReranker(at(pairs))) as reranker:
        scores = await reranker.rerank("When was the tower built?", [*evidence(), passage("tower " * 600)])
        assert max(scores) == scores[0]
        assert reranker.truncated == 1
        # Question and passage share the room: neither is too long by itself.
        await reranker.rerank("why " * 300, [passage("tower " * 300), passage("short")])
        assert reranker.truncated == 2


async def test_prompts_by_name_are_the_model_s_own_words() -> None:
    text = ["When was the tower built?"]
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(serving("--model", "minilm-prompts"))
        named, literal, plain = [
            await stack.enter_async_context(opened(TeiEmbedder(at(server) + options)))
            for options in (
                "?query_prompt_name=query&passage_prompt_name=passage",
                "?query_prefix=query:%20&passage_prefix=passage:%20",
                "",
            )
        ]
        [query], [as_written], [bare] = [await each.embed(text, role="query") for each in (named, literal, plain)]
        [as_passage] = await named.embed(text, role="passage")
        assert float(query @ as_written) > 0.9999
        assert float(query @ as_passage) < 0.999
        assert float(query @ bare) < 0.999
        # Vectors with and without prompts must not meet in one collection.
        assert len({named.model, literal.model, plain.model}) == 3
        await named.embed([LONG, FULL], role="passage")
        assert named.truncated == 2  # the prompt takes room, too


async def test_an_unknown_prompt_is_refused_at_the_start_with_those_that_exist() -> None:
    async with serving("--model", "minilm-prompts") as server:
        with pytest.raises(Poison, match=r'Available prompts: .*"passage"'):
            async with opened(TeiEmbedder(f"{at(server)}?query_prompt_name=question")):
                pass


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
    with tei("--model-id", "first") as server:
        async with opened(TeiEmbedder(at(server))) as embedder:
            before = await embedder.embed(["hello"], role="query")
            server.kill()
            with pytest.raises(Transient, match="is the server running"):
                await embedder.embed(["hello"], role="query")
            with tei("--model-id", "second", port=server.port) as other:
                for _ in range(2):
                    with pytest.raises(Transient, match=r"serves 'second/mean'.* served 'first/mean' before"):
                        await embedder.embed(["hello"], role="query")
                with pytest.raises(Poison, match="second"):
                    await embedder.check()
                other.kill()
            limits = ("--max-client-batch-size", "4", "--max-concurrent-requests", "8")
            with tei("--model-id", "first", *limits, port=server.port):
                assert (await embedder.embed(["hello"], role="query")).tolist() == before.tolist()
                assert "4 in a list" in await embedder.check()
                assert len(await embedder.embed(["hello"] * 40, role="passage")) == 40
