"""Answers in place of Triton's that it does not give on demand: busy, an expired token, no message, a web page."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from tritonclient.grpc import service_pb2

from processors.backends.triton.generator import TritonGenerator
from processors.backends.triton.models import TritonEmbedder
from processors.errors import Transient
from tests.processors.backends.triton.test_faults import HASTY_S, recovered, way_to
from tests.processors.backends.triton.test_faults import answer as told
from tests.processors.backends.triton.test_models import opened
from tests.servers.faults import FaultServer, Step, html
from tests.servers.grpc_faults import PASS, Fault, GrpcFaults, Silence, Status
from tests.servers.triton.launcher import Triton

pytestmark = pytest.mark.servers

ANSWERS: dict[str, tuple[Fault, str]] = {
    "busy": (Status("RESOURCE_EXHAUSTED", "too many requests"), "too much to do: too many requests"),
    "expired token": (Status("UNAUTHENTICATED", "token expired"), "token expired; set embedder_key"),
    "forbidden": (Status("PERMISSION_DENIED", "not yours"), "not yours; set embedder_key"),
    "away": (Status("UNAVAILABLE", "no upstream"), "no upstream; is the server running"),
    "silent": (Silence(), "did not answer in time"),
    "silent after its head": (Silence(begun=True), "did not answer in time"),
    "without an end": ((b"", Silence()), "did not answer in time"),
    "no message": (b"<!DOCTYPE html>", "cannot be read"),
    "nothing in it": (b"", "gave nothing"),
}


@pytest.mark.parametrize(("answer", "says"), ANSWERS.values(), ids=ANSWERS)
async def test_an_answer_that_is_none_is_an_outage_that_names_the_server(
    triton: Triton, answer: Fault, says: str
) -> None:
    async with GrpcFaults(triton.address) as way:
        url = f"triton+grpc://{way.address}/faulty"
        async with opened(TritonEmbedder(url, answer_timeout_s=HASTY_S)) as embedder:
            way.faults["ModelInfer"] = answer
            with pytest.raises(Transient, match=f"{way.address}/faulty.*({says})"):
                await embedder.embed(["one"], role="passage")
            way.faults.clear()
            await recovered(embedder)


def part(**changes: Any) -> Callable[[bytes], bytes]:
    """Makes of a real part of an answer another one: its one output's `datatype`, `shape` or `raw` content."""

    def make(message: bytes) -> bytes:
        sent = service_pb2.ModelStreamInferResponse.FromString(message)
        output = sent.infer_response.outputs[0]
        output.datatype = changes.get("datatype", output.datatype)
        output.shape[:] = changes.get("shape", output.shape)
        sent.infer_response.raw_output_contents[0] = changes.get("raw", sent.infer_response.raw_output_contents[0])
        return bytes(sent.SerializeToString())

    return make


STREAMS: dict[str, tuple[Fault, str]] = {
    "no part": ((), "ended its answer without the last part"),
    "not the last part": ((PASS,), "ended its answer without the last part"),
    "no message": ((PASS, b"<!DOCTYPE html>"), "sent a part of its answer that cannot be read"),
    "silent": (Silence(begun=True), "said nothing for"),
    "silent amid it": ((PASS, Silence()), "said nothing for"),
    "away amid it": ((PASS, Status("UNAVAILABLE", "no upstream")), "cannot be reached: no upstream; is"),
    "failing amid it": ((PASS, Status("INTERNAL", "oops")), "oops; see the server's log; it fails for every prompt"),
    "a number": ((PASS, part(datatype="INT32", raw=bytes(4))), r"sent 'text_output' as int32 of shape \[1\]"),
    "two texts": ((PASS, part(shape=[2], raw=2 * b"\1\0\0\0x")), r"sent 'text_output' as object of shape \[2\]"),
    "another shape": ((PASS, part(shape=[3])), "sent an output that cannot be read"),
    "half a text": ((PASS, part(raw=b"\4\0\0\0No")), "sent an output that cannot be read"),
    "half a length": ((PASS, part(raw=b"\4\0")), "sent an output that cannot be read"),
    "an unknown type": ((PASS, part(datatype="FP7")), "sent an output that cannot be read"),
}


@pytest.mark.parametrize(("answer", "says"), STREAMS.values(), ids=STREAMS)
async def test_a_stream_that_is_none_is_an_outage_that_names_the_server(
    triton: Triton, answer: Fault, says: str
) -> None:
    async with GrpcFaults(triton.address) as way:
        url = f"triton+grpc://{way.address}/stumbling"
        async with opened(TritonGenerator(url, answer_timeout_s=HASTY_S)) as generator:
            way.faults["ModelStreamInfer"] = answer
            with pytest.raises(Transient, match=f"{way.address}/stumbling:? ({says})"):
                await told(generator)
            way.faults.clear()
            assert await told(generator) == "In 1889."


async def test_a_page_for_people_in_the_place_of_the_server_is_an_outage_under_way(triton: Triton) -> None:
    async with way_to(triton, "faulty") as (proxy, embedder), FaultServer([*html(), Step.HANG_UP]) as page:
        there, proxy.upstream = proxy.upstream, ("127.0.0.1", page.port)
        await proxy.hang_up()
        with pytest.raises(Transient, match=rf"{proxy.address}/faulty.*correct embedder"):
            await once_noticed(embedder)
        proxy.upstream = there
        await recovered(embedder)


async def once_noticed(embedder: TritonEmbedder) -> None:
    """The first calls may only learn that the old connection ended."""
    async with asyncio.timeout(10):
        while True:
            try:
                await embedder.embed(["one"], role="passage")
            except Transient as error:
                if "correct embedder" in error.reason:
                    raise
                await asyncio.sleep(0.05)
