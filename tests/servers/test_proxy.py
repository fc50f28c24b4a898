"""The proxy passes everything until it is told otherwise, and what it is told holds at once."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from tests.servers.proxy import Fault, FaultProxy


async def _echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(1024):
            writer.write(data)
            await writer.drain()
    except ConnectionError:
        pass
    finally:
        writer.close()


@asynccontextmanager
async def echoing() -> AsyncIterator[FaultProxy]:
    server = await asyncio.start_server(_echo, "127.0.0.1", 0)
    async with server, FaultProxy("127.0.0.1", server.sockets[0].getsockname()[1]) as proxy:
        yield proxy


@asynccontextmanager
async def connected(proxy: FaultProxy) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection(proxy.host, proxy.port)
    try:
        yield reader, writer
    finally:
        writer.close()


async def test_what_is_sent_comes_through_both_ways() -> None:
    async with echoing() as proxy, connected(proxy) as (reader, writer):
        writer.write(b"hello")
        assert await reader.readexactly(5) == b"hello"


async def test_a_black_hole_holds_bytes_until_it_heals() -> None:
    async with echoing() as proxy, connected(proxy) as (reader, writer):
        proxy.fault = Fault(black_hole=True)
        writer.write(b"hello")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(1), 0.05)
        await proxy.heal()
        assert await reader.readexactly(5) == b"hello"


async def test_a_reset_ends_connections_that_are_there_and_new_ones() -> None:
    async with echoing() as proxy, connected(proxy) as (reader, writer):
        proxy.fault = Fault(reset=True)
        writer.write(b"hello")
        with pytest.raises(ConnectionResetError):
            await reader.read()
        async with connected(proxy) as (again, _):
            with pytest.raises(ConnectionResetError):
                await again.read()


async def test_an_answer_is_cut_after_so_many_bytes() -> None:
    async with echoing() as proxy, connected(proxy) as (reader, writer):
        proxy.fault = Fault(cut_after_bytes=3)
        writer.write(b"hello")
        assert await reader.read() == b"hel"


async def test_an_answer_stalls_after_so_many_bytes_and_goes_on_when_it_heals() -> None:
    async with echoing() as proxy, connected(proxy) as (reader, writer):
        writer.write(b"hello")
        assert await reader.readexactly(5) == b"hello"
        proxy.fault = Fault(stall_after_bytes=3)
        writer.write(b"again")
        assert await reader.readexactly(3) == b"aga"
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(1), 0.05)
        await proxy.heal()
        writer.write(b"!")
        assert await reader.readexactly(3) == b"in!"


async def test_refusing_ends_what_is_there_and_the_port_comes_back() -> None:
    async with echoing() as proxy:
        async with connected(proxy) as (reader, _):
            await proxy.refuse()
            assert await reader.read() == b""
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection(proxy.host, proxy.port)
        await proxy.heal()
        async with connected(proxy) as (reader, writer):
            writer.write(b"hello")
            assert await reader.readexactly(5) == b"hello"
        assert proxy.accepted == 2


async def test_latency_is_added_to_every_answer() -> None:
    async with echoing() as proxy, connected(proxy) as (reader, writer):
        proxy.fault = Fault(latency_s=0.1)
        started = asyncio.get_running_loop().time()
        writer.write(b"hello")
        await reader.readexactly(5)
        assert asyncio.get_running_loop().time() - started >= 0.099


@pytest.mark.parametrize(
    "fault", [Fault(latency_s=0.01), Fault(cut_after_bytes=1), Fault(stall_after_bytes=1), Fault(reset=True)]
)
async def test_what_a_fault_has_harmed_is_counted(fault: Fault) -> None:
    async with echoing() as proxy, connected(proxy) as (reader, writer):
        writer.write(b"hello")
        assert await reader.readexactly(5) == b"hello"
        assert proxy.harmed == 0
        proxy.fault = fault
        writer.write(b"hello")
        with suppress(ConnectionResetError):
            await reader.read(1)
        assert proxy.harmed == 1


async def test_a_server_that_is_gone_is_a_reset() -> None:
    async with FaultProxy("127.0.0.1", 1) as proxy, connected(proxy) as (reader, _):
        with pytest.raises(ConnectionResetError):
            await reader.read()
