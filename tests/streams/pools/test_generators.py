"""A pool of language model servers: a question is tried elsewhere before its first word, and never after."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from processors.errors import Transient
from processors.generate import Generate
from schemas import PassagesRanked, PassagesRetrieved, QueryFailed
from streams.composition import Backends
from streams.overload import limited
from streams.pools.ports import PooledGenerator
from streams.settings import Settings
from tests.processors.generator_contract import ASKED
from tests.processors.models import evidence
from tests.servers.faults import RESET, FaultServer, Reply, answer, busy, event, nobody, stream
from tests.streams.runtime.wiring import NOW, Bench, query, question

WORD = event({"choices": [{"delta": {"content": "In 1889."}, "finish_reason": None}]})
END = event({"choices": [{"delta": {}, "finish_reason": "stop"}]})
GOOD = stream(WORD, END, b"data: [DONE]\n\n")
BROKEN_OFF = stream(WORD, end=False)


@asynccontextmanager
async def pooled(home: Path, *replies: Reply) -> AsyncIterator[tuple[PooledGenerator, list[FaultServer]]]:
    """A pool with a server for each reply."""
    async with AsyncExitStack() as stack:
        models = answer({"data": [{"id": "m"}]})
        servers = [await stack.enter_async_context(FaultServer(reply).on("/v1/models", models)) for reply in replies]
        urls = tuple(f"openai+{server.url}/v1?model=m" for server in servers)
        generator = Backends(Settings(home=home, generator=urls)).generators["generative"]
        assert isinstance(generator, PooledGenerator)
        stack.push_async_callback(generator.close)
        await generator.open()
        for server in servers:
            server.requests.clear()
        yield generator, servers


async def written(generator: PooledGenerator) -> str:
    return "".join([fragment.text async for fragment in generator.generate(ASKED, evidence())])


@pytest.mark.parametrize("trouble", [RESET, answer("no", 500), busy(503)], ids=["reset", "500", "503"])
async def test_a_server_in_trouble_costs_no_question_its_answer(tmp_path: Path, trouble: Reply) -> None:
    async with pooled(tmp_path, trouble, GOOD, GOOD) as (generator, servers):
        for _ in range(12):
            assert "1889" in await written(generator)
        assert len(servers[1].requests) + len(servers[2].requests) == 12


async def test_what_has_begun_is_not_tried_elsewhere(tmp_path: Path) -> None:
    async with pooled(tmp_path, BROKEN_OFF, BROKEN_OFF) as (generator, servers):
        async with aclosing(generator.generate(ASKED, evidence())) as fragments:
            assert (await anext(fragments)).text.startswith("In")
            with pytest.raises(Transient):
                [_ async for _ in fragments]
        assert sum(len(server.requests) for server in servers) == 1


async def test_where_every_server_is_busy_the_soonest_says_when_to_ask_again(tmp_path: Path) -> None:
    async with pooled(tmp_path, busy(retry_after="30"), busy(503, retry_after="40")) as (generator, servers):
        with pytest.raises(Transient) as asked:
            await written(generator)
        assert asked.value.retry_after_s == pytest.approx(30, abs=1)
        with pytest.raises(Transient, match="asked to be left alone") as again:
            await written(generator)
        assert again.value.retry_after_s == pytest.approx(30, abs=1)
        assert sum(len(server.requests) for server in servers) == 2


async def test_a_question_that_finds_every_server_busy_is_told_when_to_ask_again(tmp_path: Path) -> None:
    async def rerank(event: PassagesRetrieved) -> Sequence[PassagesRanked]:
        passages = tuple(replace(each, scores={"rerank": 1.0}) for each in evidence())
        return [PassagesRanked(query=event.query, passages=passages)]

    async with pooled(tmp_path, busy(retry_after="30"), busy(503, retry_after="40")) as (generator, _):
        generate = Generate(limited({"generative": generator}, 4), "generative")
        bench = Bench(query(rerank=rerank, generate=generate), "retrieve|rerank|generate")
        await bench.publish(question(deadline=NOW + timedelta(seconds=20)))
        await bench.engine.run()
    [said] = bench.replies()
    assert isinstance(said.event, QueryFailed)
    assert (said.event.code, said.event.stage) == ("overloaded", "generate")
    assert said.event.retry_after_s == pytest.approx(30, abs=1)
    assert not bench.letters("evidence")


async def test_it_opens_although_a_server_is_away(tmp_path: Path) -> None:
    async with FaultServer(GOOD).on("/v1/models", answer({"data": [{"id": "m"}]})) as server:
        urls = (f"openai+{nobody()}/v1?model=m", f"openai+{server.url}/v1?model=m")
        generator = Backends(Settings(home=tmp_path, generator=urls)).generators["generative"]
        assert isinstance(generator, PooledGenerator)
        try:
            await generator.open()
            for _ in range(5):
                assert "1889" in await written(generator)
        finally:
            await generator.close()
