"""Answers in place of Triton's that it does not give on demand: busy, an expired token, no message, a web page."""

import asyncio

import pytest

from processors.backends.triton.models import TritonEmbedder
from processors.errors import Transient
from tests.processors.backends.triton.test_faults import HASTY_S, recovered, way_to
from tests.processors.backends.triton.test_models import opened
from tests.servers.faults import FaultServer, Step, html
from tests.servers.grpc_faults import Fault, GrpcFaults, Silence, Status
from tests.servers.triton.launcher import Triton

pytestmark = pytest.mark.servers

ANSWERS: dict[str, tuple[Fault, str]] = {
    "busy": (Status("RESOURCE_EXHAUSTED", "too many requests"), "too much to do: too many requests"),
    "expired token": (Status("UNAUTHENTICATED", "token expired"), "token expired; set embedder_key"),
    "forbidden": (Status("PERMISSION_DENIED", "not yours"), "not yours; set embedder_key"),
    "away": (Status("UNAVAILABLE", "no upstream"), "no upstream; is the server running"),
    "silent": (Silence(), "did not answer in time"),
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
