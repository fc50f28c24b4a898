"""A worker says over HTTP whether it lives and whether it works, to strangers of any kind."""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import cached_property
from uuid import uuid4

import httpx
import pytest
from opentelemetry.trace import NoOpTracer

from processors.ports import Element, Parser
from streams import health, provisioning
from streams.client import Client
from streams.composition import Backends
from streams.health import Health, listening
from streams.local.listeners import free_ports
from streams.opening import ConfigError
from streams.settings import EngineName, Settings
from streams.worker import Worker
from tests.chaos.worker import Paragraphs
from tests.streams.runtime.engines.contract import until

PATIENCE_S = 30.0


class Patient(Paragraphs):
    """A parser that holds every document until it is told to go on."""

    def __init__(self) -> None:
        self.begun, self.go_on = asyncio.Event(), asyncio.Event()

    async def parse(self, data: bytes, *, media_type: str, filename: str) -> Sequence[Element]:
        self.begun.set()
        await self.go_on.wait()
        return await super().parse(data, media_type=media_type, filename=filename)


class PatientPorts(Backends):
    """The settings' backends, but for the parser."""

    @cached_property
    def parser(self) -> Parser:
        return Patient()


@pytest.fixture
def deployment(stack: Settings) -> Settings:
    """Topics and a health port of its own on the shared stack."""
    prefix = f"health-{uuid4().hex[:8]}-"
    settings = stack.model_copy(update={"topic_prefix": prefix, "health_port": free_ports(1)[0]})
    provisioning.apply(settings)
    return settings


async def status(port: int, path: str) -> int:
    """What it answers; 0: nobody listens."""
    async with httpx.AsyncClient(timeout=PATIENCE_S) as client:
        try:
            return (await client.get(f"http://127.0.0.1:{port}{path}")).status_code
        except httpx.ConnectError:
            return 0


async def until_status(port: int, path: str, wanted: int) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while await status(port, path) != wanted:  # noqa: ASYNC110  # asked as strangers ask
            await asyncio.sleep(0.02)


@pytest.mark.stack
@pytest.mark.parametrize("engine", ["confluent", "faust"])
async def test_a_worker_is_ready_from_joining_its_groups_until_it_is_told_to_stop(
    deployment: Settings, engine: EngineName
) -> None:
    settings = deployment.model_copy(update={"engine": engine})
    port, stop, ports = settings.health_port, asyncio.Event(), PatientPorts(settings)
    assert isinstance(ports.parser, Patient)
    working = asyncio.create_task(Worker(settings, ("chunk",), tracer=NoOpTracer(), ports=ports).run(stop))
    await until_status(port, "/livez", 200)
    await until_status(port, "/readyz", 200)
    async with Client(settings) as client:
        await client.publish("one", b"A dome.", media_type="application/octet-stream")
    await ports.parser.begun.wait()
    stop.set()
    assert (await status(port, "/readyz"), await status(port, "/livez")) == (503, 200)
    ports.parser.go_on.set()
    await working
    assert await status(port, "/livez") == 0


@pytest.mark.stack
async def test_what_is_not_finished_within_the_grace_is_left_to_another(deployment: Settings) -> None:
    settings = deployment.model_copy(update={"grace_s": 0.0})
    stop, ports = asyncio.Event(), PatientPorts(settings)
    assert isinstance(ports.parser, Patient)
    async with Client(settings) as client:
        await client.publish("one", b"A dome.", media_type="application/octet-stream")
    working = asyncio.create_task(Worker(settings, ("chunk",), tracer=NoOpTracer(), ports=ports).run(stop))
    await ports.parser.begun.wait()
    stop.set()
    await working
    stop = asyncio.Event()
    ports.parser.begun.clear()
    again = asyncio.create_task(Worker(settings, ("chunk",), tracer=NoOpTracer(), ports=ports).run(stop))
    await ports.parser.begun.wait()
    stop.set()
    await again


@pytest.mark.stack
async def test_a_worker_that_waits_for_a_backend_lives_and_is_not_ready(deployment: Settings) -> None:
    settings = deployment.model_copy(update={"embedder": f"tei+http://127.0.0.1:{free_ports(1)[0]}"})
    stop = asyncio.Event()
    working = asyncio.create_task(Worker(settings, ("embed",), tracer=NoOpTracer()).run(stop))
    await until_status(settings.health_port, "/livez", 200)
    assert await status(settings.health_port, "/readyz") == 503
    stop.set()
    await working


@pytest.mark.stack
async def test_a_port_that_is_taken_is_a_wrong_setting(deployment: Settings) -> None:
    async with listening(deployment.health_port, well()):
        with pytest.raises(ConfigError, match=f"'health_port' is {deployment.health_port}"):
            await Worker(deployment, ("chunk",), tracer=NoOpTracer()).run(asyncio.Event())


def well() -> Health:
    return Health(ready=lambda: True, hung=list)


def test_a_reader_that_hangs_ends_the_life_of_its_worker_and_is_named_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    hanging = Health(ready=lambda: True, hung=lambda: ["headwater-embed"])
    with caplog.at_level(logging.ERROR):
        assert b" 503 " in hanging.answer(b"GET /livez HTTP/1.1\r\n\r\n")
    assert [record.groups for record in caplog.records] == [["headwater-embed"]]  # type: ignore[attr-defined]


@pytest.fixture
async def port() -> AsyncIterator[int]:
    """Where a healthy worker answers, which it still does when the test is over."""
    [number] = free_ports(1)
    async with listening(number, well()):
        yield number
        assert await status(number, "/readyz") == 200


@asynccontextmanager
async def connected(port: int) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


async def rest(reader: asyncio.StreamReader) -> bytes:
    """All that comes before the end, however abrupt that is."""
    try:
        return await asyncio.wait_for(reader.read(), PATIENCE_S)
    except ConnectionResetError:
        return b""


@pytest.mark.parametrize(
    "request_line",
    [
        b"GET / HTTP/1.1",
        b"GET /metrics HTTP/1.1",
        b"GET /readyz/../../etc/passwd HTTP/1.1",
        b"GET http://elsewhere/readyz HTTP/1.1",
        b"POST /readyz HTTP/1.1",
        b"readyz",
        b"",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ],
)
async def test_anything_else_is_not_found(port: int, request_line: bytes) -> None:
    async with connected(port) as (reader, writer):
        writer.write(request_line + b"\r\nHost: here\r\n\r\n")
        assert (await rest(reader)).startswith(b"HTTP/1.1 404 Not Found\r\n")


async def test_a_request_may_come_in_pieces(port: int) -> None:
    async with connected(port) as (reader, writer):
        for byte in b"GET /readyz HTTP/1.0\r\n\r\n":
            writer.write(bytes((byte,)))
            await writer.drain()
        assert (await rest(reader)).startswith(b"HTTP/1.1 200 OK\r\n")


async def test_a_head_without_end_is_cut_off(port: int) -> None:
    async with connected(port) as (reader, writer):
        writer.write(b"GET /readyz HTTP/1.1\r\nX: " + b"x" * 10_000_000)
        assert await rest(reader) == b""


async def test_who_says_nothing_is_cut_off(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "REQUEST_S", 0.1)
    async with connected(port) as (reader, writer):
        writer.write(b"GET /rea")
        assert await rest(reader) == b""


async def test_idle_connections_keep_no_probe_out(port: int) -> None:
    async with AsyncExitStack() as crowd:
        idle = [await crowd.enter_async_context(connected(port)) for _ in range(3 * health.MAX_OPEN)]
        assert await status(port, "/livez") == 200
        assert await rest(idle[0][0]) == b""


async def test_what_is_open_ends_with_the_worker() -> None:
    [number] = free_ports(1)
    async with AsyncExitStack() as visitors:
        async with listening(number, well()):
            reader, _ = await visitors.enter_async_context(connected(number))
            await until(lambda: not reader.at_eof())
        assert await rest(reader) == b""
