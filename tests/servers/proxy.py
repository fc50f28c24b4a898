"""A TCP proxy in front of any server that can be told, while it runs, to be slow, deaf, torn or gone.

async with FaultProxy("127.0.0.1", 19530) as proxy:
    proxy.fault = Fault(latency_s=0.2)   # holds for the connections that are there, too
    await proxy.refuse()                 # as a server that was killed
    await proxy.heal()
"""

import asyncio
import socket
import ssl
import struct
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Self

PIECE_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What happens to the bytes on their way; nothing by default."""

    latency_s: float = 0.0
    """Added to every piece of an answer."""
    black_hole: bool = False
    """Connections are accepted, and nothing comes through in either direction."""
    reset: bool = False
    """Every connection, also an open one at its next byte, ends by RST."""
    cut_after_bytes: int | None = None
    """Of each connection's answers from now on; then it is hung up."""
    stall_after_bytes: int | None = None
    """Of each connection's answers from now on; then nothing more comes through."""


HEALTHY = Fault()


def abort(writer: asyncio.StreamWriter) -> None:
    """Hang up by RST."""
    plug = writer.get_extra_info("socket")
    with suppress(OSError):
        plug.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


class FaultProxy:
    """Listens on a free port of 127.0.0.1 while its context lasts, and keeps that port while it refuses."""

    def __init__(self, host: str, port: int, *, tls: ssl.SSLContext | None = None) -> None:
        """With `tls` the way to here is encrypted, and ends here: the server need not know."""
        self.upstream = (host, port)
        """Of the next connection: another server may take over."""
        self._tls = tls
        self.host, self.port = "127.0.0.1", 0
        self._fault = HEALTHY
        self._switched = asyncio.Event()
        self._listener: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self.accepted = 0
        """Connections so far."""
        self.harmed = 0
        """Pieces so far that a fault has delayed, kept back or torn, or ended a connection at."""

    @property
    def address(self) -> str:
        return f"{self.host}:{self.port}"

    @property
    def fault(self) -> Fault:
        return self._fault

    @fault.setter
    def fault(self, fault: Fault) -> None:
        self._fault = fault
        switched, self._switched = self._switched, asyncio.Event()
        switched.set()

    async def refuse(self) -> None:
        """Refuse new connections and hang up on those that are there."""
        if self._listener:
            self._listener.close()
            await self.hang_up()
            await self._listener.wait_closed()
            self._listener = None

    async def heal(self) -> None:
        """Be a good way to the server again."""
        self.fault = HEALTHY
        if self._listener is None:
            self._listener = await asyncio.start_server(self._connected, self.host, self.port, ssl=self._tls)
            self.port = self._listener.sockets[0].getsockname()[1]

    async def hang_up(self) -> None:
        """End the connections that are there; new ones are accepted."""
        connections = list(self._connections)
        for task in connections:
            task.cancel()
        await asyncio.gather(*connections, return_exceptions=True)

    async def __aenter__(self) -> Self:
        await self.heal()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.refuse()

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        task = asyncio.create_task(self._carry(reader, writer))
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)

    async def _carry(self, asked: asyncio.StreamReader, caller: asyncio.StreamWriter) -> None:
        server: asyncio.StreamWriter | None = None
        try:
            if self._fault.reset:
                self.harmed += 1
                return abort(caller)
            try:
                answered, server = await asyncio.open_connection(*self.upstream)
            except OSError:
                return abort(caller)
            await self._both(
                asyncio.create_task(self._requests(asked, server)),
                asyncio.create_task(self._answers(answered, caller)),
            )
            if self._fault.reset:
                abort(caller)
        finally:
            caller.close()
            if self._tls:
                caller.transport.abort()  # a TLS connection waits for the other side to say that it closes, too
            if server is not None:
                server.close()

    async def _both(self, *directions: asyncio.Task[None]) -> None:
        """Until one direction ends."""
        try:
            await asyncio.wait(directions, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in directions:
                task.cancel()
            await asyncio.gather(*directions, return_exceptions=True)

    async def _requests(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(PIECE_BYTES):
            if await self._lost():
                return
            writer.write(data)
            await writer.drain()

    async def _answers(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        fault, sent = self._fault, 0
        while data := await reader.read(PIECE_BYTES):
            if await self._lost():
                return
            if self._fault is not fault:
                fault, sent = self._fault, 0
            await asyncio.sleep(fault.latency_s)
            cut = fault.cut_after_bytes if fault.stall_after_bytes is None else fault.stall_after_bytes
            passing = len(data) if cut is None else max(0, cut - sent)
            self.harmed += fault.latency_s > 0 or passing < len(data)
            writer.write(data[:passing])
            await writer.drain()
            sent += len(data)
            if fault.cut_after_bytes is not None and sent >= fault.cut_after_bytes:
                return
            if passing < len(data):
                while self._fault is fault:
                    await self._switched.wait()
                if await self._lost():
                    return
                writer.write(data[passing:])

    async def _lost(self) -> bool:
        """Whether the connection must end before these bytes pass; keeps them as long as nothing passes."""
        self.harmed += self._fault.black_hole or self._fault.reset
        while self._fault.black_hole:
            await self._switched.wait()
        return self._fault.reset
