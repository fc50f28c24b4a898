"""What a real Triton's operator may do: load, unload and replace models, ask for tokens, encrypt, restart."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
import tritonclient.grpc.aio as client

from processors.backends.triton.models import TritonEmbedder
from processors.errors import Poison, Transient
from tests.processors.backends.triton.test_faults import recovered
from tests.processors.backends.triton.test_models import opened
from tests.servers.certificates import Authority
from tests.servers.proxy import FaultProxy
from tests.servers.triton.launcher import Triton, serving

pytestmark = [pytest.mark.servers, pytest.mark.usefixtures("installed_triton")]

RENAMED = 'parameters { key: "fingerprint" value: { string_value: "other" } }'


@pytest.fixture(scope="module")
def own(installed_triton: None) -> Iterator[Triton]:
    """A server with nothing loaded."""
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
            async with client.InferenceServerClient(own.address) as control:
                await control.load_model("faulty")
            await recovered(embedder)

    async def test_another_model_under_the_same_version_is_noticed(
        self, own: Triton, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async with opened(TritonEmbedder(f"triton+grpc://{own.address}/faulty?load=true")) as embedder:
            assert embedder.model == "triton/faulty:1"
            monkeypatch.setattr("processors.backends.triton.models.VERIFY_S", 0.0)
            assert (await embedder.embed(["one"], role="passage")).shape == (1, 4)
            configuration = own.folder / "repository" / "faulty" / "config.pbtxt"
            before = configuration.read_text()
            try:
                configuration.write_text(before + RENAMED)
                async with client.InferenceServerClient(own.address) as control:
                    await control.load_model("faulty")
                with pytest.raises(Transient, match="now serves 'other' in place of 'triton/faulty:1'"):
                    await embedder.embed(["one"], role="passage")
            finally:
                configuration.write_text(before)


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
        with serving("faulty") as server:
            async with opened(TritonEmbedder(f"triton+grpc://{server.address}/faulty")) as embedder:
                server.kill()
                with pytest.raises(Transient, match="cannot be reached"):
                    await embedder.embed(["one"], role="passage")
                await asyncio.to_thread(server.start)
                await recovered(embedder)

    async def test_a_token_goes_where_the_server_wants_it(self) -> None:
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
