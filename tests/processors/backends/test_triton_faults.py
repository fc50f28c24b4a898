"""Every way in which a real Triton, or the way to it, can fail, and whose fault that is said to be."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import tritonclient.grpc.aio as client

from processors.backends.triton import TritonEmbedder, TritonReranker
from processors.backends.triton_generator import TritonGenerator
from processors.errors import Poison, Transient
from streams.local.listeners import free_ports
from tests.processors.backends.test_triton import opened
from tests.processors.generator_contract import ASKED
from tests.processors.models import evidence, passage
from tests.servers.certificates import Authority
from tests.servers.proxy import Fault, FaultProxy
from tests.servers.triton.launcher import MISSING, Triton, available, serving

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
        with pytest.raises(Poison, match="text-refused") as refused:
            await faulty.embed(["one", text, "three"], role="passage")
        assert "it takes other texts" in refused.value.detail
        assert (await faulty.embed(["one", "three"], role="passage")).shape == (2, 4)

    @pytest.mark.parametrize("text", ["fewer", "wider", "doubles", "flat"])
    async def test_a_wrong_shape_or_type_is_the_deployment_s_fault(self, faulty: TritonEmbedder, text: str) -> None:
        with pytest.raises(Transient, match=r"triton\+grpc://127.0.0.1:\d+/faulty gave"):
            await faulty.embed(["one", text, "three"], role="passage")

    async def test_numbers_of_another_type_are_refused_at_the_start(self, triton: Triton) -> None:
        with pytest.raises(Poison, match=r"model-unusable.*embedding INT64.*gives one output of FP32"):
            await TritonEmbedder(f"triton+grpc://{triton.address}/counting").open()

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
    async def test_a_model_that_fails_is_transient_with_its_words(
        self, stumbling: TritonGenerator, question: str
    ) -> None:
        with pytest.raises(Transient, match=r"/stumbling: .*(out of memory|illegal memory).*see the server's log"):
            await answer(stumbling, question)
        assert await answer(stumbling) == "In 1889."

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


@pytest.fixture(scope="module")
def own() -> Iterator[Triton]:
    """A server with nothing loaded."""
    if not available():
        pytest.skip(MISSING)
    with serving() as server:
        yield server


class TestModelControl:
    async def test_a_model_that_is_not_loaded_is_refused_at_the_start(self, own: Triton) -> None:
        embedder = TritonEmbedder(f"triton+grpc://{own.address}/counting")
        with pytest.raises(Poison, match=r"model-not-ready.*add load=true"):
            await embedder.open()
        await embedder.close()

    async def test_it_is_loaded_where_the_url_asks_and_its_unloading_is_an_outage(self, own: Triton) -> None:
        async with opened(TritonEmbedder(f"triton+grpc://{own.address}/faulty?load=true")) as embedder:
            assert (await embedder.embed(["one"], role="passage")).shape == (1, 4)
            async with client.InferenceServerClient(own.address) as control:
                await control.unload_model("faulty")
                await gone(embedder)
                with pytest.raises(Poison, match="model-not-ready"):
                    await embedder.check()
                await control.load_model("faulty")
            assert (await embedder.embed(["one"], role="passage")).shape == (1, 4)

    async def test_a_newer_version_s_vectors_do_not_mix_with_ours(self, own: Triton) -> None:
        async with opened(TritonEmbedder(f"triton+grpc://{own.address}/faulty?load=true")) as embedder:
            versions = own.folder / "repository" / "faulty"
            (versions / "1").rename(versions / "2")
            try:
                async with client.InferenceServerClient(own.address) as control:
                    await control.load_model("faulty")
                await gone(embedder)
            finally:
                (versions / "2").rename(versions / "1")


async def gone(embedder: TritonEmbedder) -> None:
    """The model stays for what is under way, and goes then."""
    async with asyncio.timeout(10):
        with pytest.raises(Transient, match="load the model"):
            await _for_ever(embedder)


async def _for_ever(embedder: TritonEmbedder) -> None:
    while True:
        await embedder.embed(["one"], role="passage")


class TestOwnServers:
    async def test_a_dead_server_is_an_outage_and_a_new_one_answers(self) -> None:
        if not available():
            pytest.skip(MISSING)
        with serving("faulty") as server:
            async with opened(TritonEmbedder(f"triton+grpc://{server.address}/faulty")) as embedder:
                server.kill()
                with pytest.raises(Transient, match="cannot be reached"):
                    await embedder.embed(["one"], role="passage")
                await asyncio.to_thread(server.start)
                await recovered(embedder)

    async def test_a_token_goes_where_the_server_wants_it(self) -> None:
        if not available():
            pytest.skip(MISSING)
        guarded = "--grpc-restricted-protocol=inference,model-repository:entrance=s3cret"
        with serving("faulty", options=(guarded,)) as server:
            url = f"triton+grpc://{server.address}/faulty"
            for key in ("", "expired"):
                refused = TritonEmbedder(url, key=key)
                with pytest.raises(Poison, match=r"unauthorized.*token_header=.*embedder_key") as raised:
                    await refused.open()
                assert "s3cret" not in str(raised.value)
                await refused.close()
            url += "?token_header=triton-grpc-protocol-entrance"
            async with opened(TritonEmbedder(url, key="s3cret")) as embedder:
                assert (await embedder.embed(["one"], role="passage")).shape == (1, 4)

    async def test_tls_is_trusted_by_its_authority_and_name(self, tmp_path: Path) -> None:
        if not available():
            pytest.skip(MISSING)
        authority = Authority(tmp_path)
        certificate, key = authority.issue("localhost")
        options = ("--grpc-use-ssl=true", f"--grpc-server-cert={certificate}", f"--grpc-server-key={key}")
        with serving("faulty", options=options) as server:
            named, by_address = (
                f"triton+grpcs://localhost:{server.port}/faulty",
                f"triton+grpcs://{server.address}/faulty",
            )
            async with opened(TritonEmbedder(named, ca_file=authority.ca_file)) as embedder:
                assert (await embedder.embed(["one"], role="passage")).shape == (1, 4)
            for url, ca_file, said in (
                (by_address, authority.ca_file, "issued for another name"),
                (named, None, "name its authority in ca_file"),
                (f"triton+grpc://{server.address}/faulty", None, "cannot be reached|did not answer"),
            ):
                embedder = TritonEmbedder(url, ca_file=ca_file, answer_timeout_s=2)
                with pytest.raises((Transient, Poison), match=said):
                    await embedder.open()
                await embedder.close()

    @pytest.mark.parametrize(
        ("name", "expired", "said"),
        [("127.0.0.1", True, "tls.*renew it"), ("elsewhere.test", False, "tls.*another name")],
    )
    async def test_a_certificate_that_is_not_valid_is_refused_at_the_start(
        self, triton: Triton, tmp_path: Path, name: str, expired: bool, said: str
    ) -> None:
        authority = Authority(tmp_path)
        presented = authority.server(name, expired=expired)
        presented.set_alpn_protocols(["h2"])
        async with FaultProxy("127.0.0.1", triton.port, tls=presented) as proxy:
            embedder = TritonEmbedder(f"triton+grpcs://{proxy.address}/faulty", ca_file=authority.ca_file)
            with pytest.raises(Poison, match=said):
                await embedder.open()
            await embedder.close()

    async def test_what_encrypts_in_front_of_a_server_is_as_good(self, triton: Triton, tmp_path: Path) -> None:
        authority = Authority(tmp_path)
        presented = authority.server()
        presented.set_alpn_protocols(["h2"])
        async with FaultProxy("127.0.0.1", triton.port, tls=presented) as proxy:
            url = f"triton+grpcs://{proxy.address}/faulty"
            async with opened(TritonEmbedder(url, ca_file=authority.ca_file)) as embedder:
                assert (await embedder.embed(["one"], role="passage")).shape == (1, 4)
