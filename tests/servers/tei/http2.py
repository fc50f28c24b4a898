"""HTTP/2 in clear text, by prior knowledge: each stream is a request."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from email.utils import formatdate

from aiohttp import web
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import (
    DataReceived,
    Event,
    RemoteSettingsChanged,
    RequestReceived,
    StreamEnded,
    StreamReset,
    WindowUpdated,
)
from h2.exceptions import ProtocolError

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Asked:
    """A request, whichever HTTP it came by."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: AsyncIterator[bytes]


Answering = Callable[[Asked], Awaitable[web.Response]]


class Streams:
    """The requests of one connection."""

    def __init__(self, transport: asyncio.Transport, answering: Answering) -> None:
        self._transport = transport
        self._answering = answering
        self._ending = False
        self._room = asyncio.Event()
        self._bodies: dict[int, asyncio.Queue[bytes]] = {}
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._http2 = H2Connection(H2Configuration(client_side=False))
        self._http2.initiate_connection()

    def receive(self, data: bytes) -> None:
        try:
            for event in self._http2.receive_data(data):
                self._act(event)
        except ProtocolError:
            self._send()
            self._transport.close()
        else:
            self._send()

    def lose(self) -> None:
        """The caller is gone: stop what it asked for."""
        for task in self._tasks.values():
            task.cancel()

    async def finish(self) -> None:
        """Answer what is in flight, and nothing more."""
        self._ending = True
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    def _act(self, event: Event) -> None:
        match event:
            case RequestReceived() if self._ending:
                self._http2.reset_stream(event.stream_id, ErrorCodes.REFUSED_STREAM)
            case RequestReceived():
                body = self._bodies[event.stream_id] = asyncio.Queue()
                headers = {name.decode(): value.decode("latin-1") for name, value in event.headers}
                self._tasks[event.stream_id] = asyncio.create_task(self._serve(event.stream_id, headers, body))
            case DataReceived():
                self._http2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                if event.data and event.stream_id in self._bodies:
                    self._bodies[event.stream_id].put_nowait(event.data)
            case StreamEnded() if event.stream_id in self._bodies:
                self._bodies[event.stream_id].put_nowait(b"")
            case StreamReset() if event.stream_id in self._tasks:
                self._tasks[event.stream_id].cancel()
            case WindowUpdated() | RemoteSettingsChanged():
                self._room.set()

    async def _serve(self, stream: int, headers: Mapping[str, str], body: asyncio.Queue[bytes]) -> None:
        path = headers[":path"].partition("?")[0]
        try:
            response = await self._answering(Asked(headers[":method"], path, headers, _parts(body)))
            await self._answer(stream, response, head=headers[":method"] == "HEAD")
        finally:
            del self._bodies[stream], self._tasks[stream]
            # Where the answer came before the end of the request, or not at all.
            with suppress(ProtocolError):
                self._http2.reset_stream(stream)
            self._send()

    async def _answer(self, stream: int, response: web.Response, *, head: bool) -> None:
        body = response.body if isinstance(response.body, bytes) else b""
        own = {":status": str(response.status), "content-length": str(len(body)), "date": formatdate(usegmt=True)}
        self._http2.send_headers(stream, [*own.items(), *response.headers.items()])
        rest = b"" if head else body
        while rest:
            room = min(self._http2.local_flow_control_window(stream), self._http2.max_outbound_frame_size)
            if room <= 0:
                self._send()
                self._room.clear()
                await self._room.wait()
                continue
            self._http2.send_data(stream, rest[:room])
            rest = rest[room:]
        self._http2.end_stream(stream)

    def _send(self) -> None:
        self._transport.write(self._http2.data_to_send())


async def _parts(body: asyncio.Queue[bytes]) -> AsyncIterator[bytes]:
    while part := await body.get():
        yield part
