"""TEI's limits, kept without a refusal: permits, lists, the longest input, and prompts, which take room in it."""

import asyncio
from contextlib import AsyncExitStack

import pytest

from processors.backends.tei.ports import TeiEmbedder, TeiReranker
from processors.errors import Poison, Transient
from tests.processors.backends.tei.ports import at, opened, serving
from tests.processors.models import evidence, passage


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


async def test_texts_over_the_longest_input_are_cut_and_counted_one_by_one() -> None:
    async with serving() as server, opened(TeiEmbedder(at(server))) as embedder:
        vectors = await embedder.embed(["short", LONG, FULL, "x" * 70_000], role="passage")
        assert embedder.truncated == 2
        assert float(vectors[1] @ vectors[2]) > 0.99  # what was cut off changes nothing
        [again] = await embedder.embed([LONG], role="query")
        assert embedder.truncated == 3
        assert float(again @ vectors[1]) > 0.999
        assert "3 of 5 texts cut at 256 tokens" in await embedder.check()


async def test_a_pair_over_the_longest_input_is_cut_and_counted() -> None:
    async with serving("--model", "minilm-reranker") as server, opened(TeiReranker(at(server))) as reranker:
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


async def test_a_server_that_comes_back_with_smaller_limits_is_asked_within_them() -> None:
    async with AsyncExitStack() as stack:
        async with serving() as server:
            embedder = await stack.enter_async_context(opened(TeiEmbedder(at(server))))
        limits = ("--max-client-batch-size", "4", "--max-concurrent-requests", "8")
        async with serving(*limits, "--port", str(server.port)):
            with pytest.raises(Transient):  # nobody could know
                await embedder.embed(["hello"] * 20, role="passage")
            assert len(await embedder.embed(["hello"] * 20, role="passage")) == 20
