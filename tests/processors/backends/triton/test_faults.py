"""Every way in which a real Triton, or the way to it, can fail, and whose fault that is said to be."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import uuid4

import pytest

from processors.backends.triton.client import ANSWER_TIMEOUT_S
from processors.backends.triton.generator import TritonGenerator
from processors.backends.triton.models import TritonEmbedder, TritonReranker
from processors.errors import Poison, Transient
from streams.local.listeners import free_ports
from tests.processors.backends.triton.test_models import opened
from tests.processors.generator_contract import ASKED
from tests.processors.models import evidence, passage
from tests.servers.proxy import Fault, FaultProxy
from tests.servers.triton.launcher import Triton

pytestmark = pytest.mark.servers

HASTY_S = 0.5


@pytest.fixture
async def faulty(triton: Triton) -> AsyncIterator[TritonEmbedder]:
    async with opened(TritonEmbedder(f"triton+grpc://{triton.address}/faulty")) as embedder:
        yield embedder


@pytest.fixture
async def stumbling(triton: Triton) -> AsyncIterator[TritonGenerator]:
    async with opened(TritonGenerator(f"triton+grpc://{triton.address}/stumbling", answer_timeout_s=2.0)) as generator:
        yield generator


@asynccontextmanager
async def way_to(triton: Triton, model: str) -> AsyncIterator[tuple[FaultProxy, TritonEmbedder]]:
    async with FaultProxy("127.0.0.1", triton.port) as proxy:
        url = f"triton+grpc://{proxy.address}/{model}"
        async with opened(TritonEmbedder(url, answer_timeout_s=HASTY_S)) as embedder:
            yield proxy, embedder


async def answer(generator: TritonGenerator, question: str = ASKED) -> str:
    return "".join([fragment.text async for fragment in generator.generate(question, evidence())])


class TestAnswersThatAreNone:
    @pytest.mark.parametrize("text", ["raise", "nan", "zeros"])
    async def test_a_text_that_alone_makes_the_model_fail_is_poison(self, faulty: TritonEmbedder, text: str) -> None:
        with pytest.raises(Poison, match="model-failed: text 1 of 3") as refused:
            await faulty.embed(["one", text, "three"], role="passage")
        assert "it takes other texts" in refused.value.detail
        assert (await faulty.embed(["one", "three"], role="passage")).shape == (2, 4)

    async def test_a_text_that_fails_its_whole_batch_fails_nobody_else(self, faulty: TritonEmbedder) -> None:
        texts = [*(f"text {number}" for number in range(30)), "explode"]
        calls = (faulty.embed([text], role="passage") for text in texts)
        *others, exploded = await asyncio.gather(*calls, return_exceptions=True)
        assert isinstance(exploded, Poison)
        assert [other for other in others if isinstance(other, BaseException)] == []

    @pytest.mark.parametrize("text", ["fewer", "wider", "doubles", "flat"])
    async def test_a_wrong_shape_or_type_is_the_deployment_s_fault(self, faulty: TritonEmbedder, text: str) -> None:
        with pytest.raises(Transient, match=r"triton\+grpc://127.0.0.1:\d+/faulty gave"):
            await faulty.embed(["one", text, "three"], role="passage")

    async def test_numbers_of_another_type_are_refused_at_the_start(self, triton: Triton) -> None:
        with pytest.raises(Poison, match=r"model-unusable.*embedding INT64.*gives one output of FP32"):
            await TritonEmbedder(f"triton+grpc://{triton.address}/counting?load=true").open()

    @pytest.mark.parametrize(
        ("port", "model", "said"),
        [
            (TritonEmbedder, "rerank", "model-unusable.*takes one text per row"),
            (TritonReranker, "embedding", "model-unusable.*a text and a question"),
            (TritonEmbedder, "vllm", "model-unusable"),
            (TritonGenerator, "embedding", "unknown-dialect.*sampling_parameters"),
            (TritonGenerator, "nothing", "unknown-model.*the server has.*'vllm'"),
        ],
    )
    async def test_a_model_of_another_kind_is_refused_with_what_it_takes(
        self, triton: Triton, port: type[TritonEmbedder | TritonReranker | TritonGenerator], model: str, said: str
    ) -> None:
        with pytest.raises(Poison, match=said):
            await port(f"triton+grpc://{triton.address}/{model}").open()


class TestStreams:
    @pytest.mark.parametrize("question", ["Fail at once?", "Fail amid the answer?"])
    async def test_a_prompt_that_alone_makes_the_model_fail_is_poison(
        self, stumbling: TritonGenerator, question: str
    ) -> None:
        said = r"model-failed: .*/stumbling: .*(out of memory|illegal memory).*it takes other prompts"
        with pytest.raises(Poison, match=said):
            await answer(stumbling, question)
        assert await answer(stumbling) == "In 1889."

    async def test_a_model_that_fails_for_every_prompt_is_transient_with_its_words(
        self, stumbling: TritonGenerator
    ) -> None:
        question = f"Will you fail 2 requests, {uuid4().hex}?"
        with pytest.raises(Transient, match=r"/stumbling: .*out of memory.*see the server's log; it fails for every"):
            await answer(stumbling, question)
        assert await answer(stumbling, question) == "In 1889."

    async def test_a_prompt_that_failed_by_chance_is_answered(self, stumbling: TritonGenerator) -> None:
        assert await answer(stumbling, f"Will you fail 1 requests, {uuid4().hex}?") == "In 1889."

    async def test_an_answer_that_broke_by_chance_is_begun_anew_and_not_said_twice(
        self, stumbling: TritonGenerator
    ) -> None:
        question, said = f"Will you fail amid it once, {uuid4().hex}?", ""

        async def listen() -> None:
            nonlocal said
            async for fragment in stumbling.generate(question, evidence()):
                said += fragment.text

        with pytest.raises(Transient, match="illegal memory access"):
            await listen()
        assert said == "In"
        assert await answer(stumbling, question) == "In 1889."

    @pytest.mark.parametrize("question", ["Wait before the answer?", "Will you hang in it?"])
    async def test_a_model_that_falls_silent_is_transient(self, stumbling: TritonGenerator, question: str) -> None:
        with pytest.raises(Transient, match="said nothing for 2 s"):
            await answer(stumbling, question)

    async def test_a_response_without_a_text_is_passed_over(self, stumbling: TritonGenerator) -> None:
        assert await answer(stumbling, "One without a text?") == "In 1889."

    async def test_a_prompt_over_the_context_is_sent_again_with_less_evidence(self, stumbling: TritonGenerator) -> None:
        much = [passage("A narrow tower. " * 200)]
        assert "".join([part.text async for part in stumbling.generate("A narrow one?", much)]) == "In 1889."

    async def test_a_context_too_small_for_any_evidence_is_poison(self, stumbling: TritonGenerator) -> None:
        with pytest.raises(Poison, match="prompt-too-long"):
            await answer(stumbling, "A too narrow one?")

    async def test_an_answer_that_outgrows_the_context_is_not_begun_again(self, stumbling: TritonGenerator) -> None:
        said = ""

        async def listen() -> None:
            nonlocal said
            async for fragment in stumbling.generate("What grows too long?", evidence()):
                said += fragment.text

        with pytest.raises(Poison, match="prompt-too-long"):
            await listen()
        assert said.count("In") == 1

    async def test_whoever_leaves_waits_for_no_server_that_hangs(self, triton: Triton) -> None:
        async with (
            FaultProxy("127.0.0.1", triton.port) as proxy,
            opened(TritonGenerator(f"triton+grpc://{proxy.address}/ensemble")) as generator,
        ):
            fragments = generator.generate(ASKED, evidence())
            await anext(fragments)
            proxy.fault = Fault(black_hole=True)
            async with asyncio.timeout(ANSWER_TIMEOUT_S / 2):
                await fragments.aclose()

    @pytest.mark.parametrize("fault", [Fault(reset=True), Fault(black_hole=True)])
    async def test_a_connection_that_breaks_amid_the_answer_is_transient(self, triton: Triton, fault: Fault) -> None:
        async with FaultProxy("127.0.0.1", triton.port) as proxy:
            url = f"triton+grpc://{proxy.address}/stumbling"
            async with opened(TritonGenerator(url, answer_timeout_s=HASTY_S)) as generator:
                fragments = generator.generate("Will you hang in it?", evidence())
                assert (await anext(fragments)).text == "In"
                proxy.fault = fault
                with pytest.raises(Transient, match=str(proxy.port)):
                    await anext(fragments)


class TestTheWay:
    @pytest.mark.parametrize(
        ("fault", "said"),
        [
            (Fault(black_hole=True), "in time|nothing for"),
            (Fault(reset=True), "cannot be reached"),
            (Fault(cut_after_bytes=10), "cannot be reached"),
        ],
    )
    async def test_a_broken_way_is_an_outage_and_passes(self, triton: Triton, fault: Fault, said: str) -> None:
        async with way_to(triton, "faulty") as (proxy, embedder):
            proxy.fault = fault
            with pytest.raises(Transient, match=said) as failed:
                await embedder.embed(["one"], role="passage")
            assert proxy.address in failed.value.reason
            await proxy.heal()
            await recovered(embedder)

    async def test_a_server_that_comes_back_is_used_again_at_once(self, triton: Triton) -> None:
        async with way_to(triton, "faulty") as (proxy, embedder):
            await proxy.refuse()
            for _ in range(3):
                with pytest.raises(Transient, match=r"cannot be reached.*is the server running"):
                    await embedder.embed(["one"], role="passage")
            await proxy.heal()
            await recovered(embedder)

    async def test_a_full_queue_is_transient(self, triton: Triton) -> None:
        async with opened(TritonEmbedder(f"triton+grpc://{triton.address}/crowded?load=true")) as embedder:
            calls = (embedder.embed(["pause"], role="passage") for _ in range(6))
            answers = await asyncio.gather(*calls, return_exceptions=True)
        refused = [answer for answer in answers if isinstance(answer, BaseException)]
        assert 0 < len(refused) < 6
        for error in refused:
            assert isinstance(error, Transient)
            assert "/crowded has too much to do" in error.reason

    async def test_a_server_that_is_not_there_is_transient(self) -> None:
        [port] = free_ports(1)
        embedder = TritonEmbedder(f"triton+grpc://127.0.0.1:{port}/m")
        with pytest.raises(Transient, match=f"{port}/m cannot be reached"):
            await embedder.open()
        await embedder.close()

    async def test_a_server_of_another_kind_is_no_triton(self) -> None:
        async def page(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read(10)
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<!DOCTYPE html><html>It works!</html>")
            writer.close()

        async with await asyncio.start_server(page, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            embedder = TritonEmbedder(f"triton+grpc://127.0.0.1:{port}/m", answer_timeout_s=HASTY_S)
            with pytest.raises(Poison, match=r"bad-url.*that is no Triton: correct embedder"):
                await embedder.open()
            await embedder.close()


async def recovered(embedder: TritonEmbedder) -> None:
    async with asyncio.timeout(10):
        while True:
            try:
                assert (await embedder.embed(["one"], role="passage")).shape == (1, 4)
            except Transient:
                await asyncio.sleep(0.05)
            else:
                return


async def test_before_it_is_open_a_port_says_so() -> None:
    with pytest.raises(Transient, match="not open"):
        await answer(TritonGenerator("triton+grpc://127.0.0.1:9/m"))
    with pytest.raises(Transient, match="not open"):
        await TritonReranker("triton+grpc://127.0.0.1:9/m").check()
