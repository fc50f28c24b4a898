"""An HTTP server that answers as it is told: everything that a real one cannot be made to do on demand.

    async with FaultServer(busy(retry_after="7"), answer({"data": []})) as server:
        ...  # server.url

Each request takes the next reply of the script, the last one for ever; `server.on("/info", ...)` scripts one path.
A reply may also be made from the request, by an asynchronous function.
`tests.servers.proxy` breaks the way to a real server instead, and `tests.servers.certificates` makes certificates.
"""

import asyncio
import json
import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum, auto
from http import HTTPStatus
from types import TracebackType
from typing import Self

from streams.local.listeners import free_ports
from tests.servers.proxy import abort


class Step(Enum):
    """What a server may do between two pieces of an answer, besides sending."""

    WAIT = auto()
    """Nothing more, until the caller hangs up."""
    HANG_UP = auto()
    RESET = auto()
    """Hang up by RST rather than FIN."""


Reply = Sequence[bytes | float | Step]
"""Pieces of an answer; a number is a pause in seconds."""

HANG: Reply = (Step.WAIT,)
"""The request is read, and nothing comes back."""
HANG_UP: Reply = (Step.HANG_UP,)
RESET: Reply = (Step.RESET,)


TLS_HELLO = b"\x16"


def answer(body: object, status: int = 200, content_type: str = "application/json", **headers: str) -> Reply:
    """A whole answer. A body that is neither text nor bytes is sent as JSON; `retry_after=` is `Retry-After:`."""
    data = _data(body)
    return (_head(status, content_type, content_length=str(len(data)), **headers) + data,)


def html(status: int = 200) -> Reply:
    """The page of something that is not the server, such as a proxy or a login."""
    return answer("<!DOCTYPE html>\n<html><body>It works!</body></html>", status, "text/html; charset=utf-8")


def busy(status: int = 429, *, retry_after: str = "", body: object = "too busy") -> Reply:
    """429 or 503; `retry_after` in seconds or as an HTTP date, empty for none."""
    headers = {"retry_after": retry_after} if retry_after else {}
    return answer(body, status, "text/plain", **headers)


def truncated(body: object) -> Reply:
    """A good answer whose connection ends half way through the body."""
    return (_half(body), Step.HANG_UP)


def hang_amid(body: object) -> Reply:
    """Half of a good answer, and then nothing more."""
    return (_half(body), Step.WAIT)


def cut_json(body: object) -> Reply:
    """A whole answer by HTTP's measure, whose JSON ends half way."""
    data = _data(body)
    return answer(data[: len(data) // 2])


def stream(*parts: bytes | float | Step, end: bool = True, content_type: str = "text/event-stream") -> Reply:
    """Server-sent events (`event`), each a chunk; hung up on before the last, empty chunk where not `end`."""
    head = _head(200, content_type, transfer_encoding="chunked")
    chunks = (f"{len(part):x}\r\n".encode() + part + b"\r\n" if isinstance(part, bytes) else part for part in parts)
    return (head, *chunks, b"0\r\n\r\n" if end else Step.HANG_UP)


def event(data: object) -> bytes:
    """One server-sent event for `stream`."""
    return b"data: " + _data(data) + b"\n\n"


def nobody(scheme: str = "http") -> str:
    """An address whose port refuses connections."""
    [port] = free_ports(1)
    return f"{scheme}://127.0.0.1:{port}"


def _data(body: object) -> bytes:
    if isinstance(body, bytes):
        return body
    return body.encode() if isinstance(body, str) else json.dumps(body).encode()


def _half(body: object) -> bytes:
    data = _data(body)
    return _head(200, "application/json", content_length=str(len(data))) + data[: len(data) // 2]


def _head(status: int, content_type: str, **headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}", f"content-type: {content_type}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode()


@dataclass(frozen=True, slots=True)
class Request:
    """What a caller sent."""

    method: str
    path: str
    """With its query."""
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes

    def json(self) -> dict[str, object]:
        content: dict[str, object] = json.loads(self.body)
        return content


Responder = Callable[[Request], Awaitable[Reply]]
"""Makes the reply to a request."""


class FaultServer:
    """Serves on a free port of 127.0.0.1 while its context lasts."""

    def __init__(self, *replies: Reply | Responder, tls: ssl.SSLContext | None = None) -> None:
        self.requests: list[Request] = []
        self.hung_up = asyncio.Event()
        """Set when a caller hung up while an answer was under way or awaited (`Step.WAIT`)."""
        self._tls = tls
        self._scripts: dict[str, list[Reply | Responder]] = {"*": list(replies)}
        self._connections: set[asyncio.Task[None]] = set()

    def on(self, path: str, *replies: Reply | Responder) -> Self:
        """Script the requests for one path, whatever comes after `?`; `*` for all others. Also while running."""
        self._scripts[path] = list(replies)
        return self

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        self._listener = await asyncio.start_server(self._connected, "127.0.0.1", 0, ssl=self._tls)
        self.port: int = self._listener.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.close()
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
        await self._listener.wait_closed()

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer))
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError):
                while await self._answer(reader, writer):
                    pass
        finally:
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Whether the connection stays open for another request."""
        start = await reader.readexactly(1)
        if start == TLS_HELLO:
            writer.write(_head(400, "text/plain", content_length="0"))
            return False
        request = await _read(start, reader)
        self.requests.append(request)
        reply = self._next(request.path)
        for step in await reply(request) if callable(reply) else reply:
            match step:
                case Step.HANG_UP:
                    return False
                case Step.RESET:
                    abort(writer)
                    return False
                case Step.WAIT:
                    await self._until_hung_up(reader)
                    return False
                case float() | int():
                    await asyncio.sleep(step)
                case piece:
                    try:
                        writer.write(piece)
                        await writer.drain()
                    except ConnectionError:
                        self.hung_up.set()
                        raise
        return True

    async def _until_hung_up(self, reader: asyncio.StreamReader) -> None:
        try:
            await reader.read()
        finally:
            self.hung_up.set()

    def _next(self, path: str) -> Reply | Responder:
        script = self._scripts.get(path.partition("?")[0]) or self._scripts["*"]
        return script.pop(0) if len(script) > 1 else script[0]


async def _read(start: bytes, reader: asyncio.StreamReader) -> Request:
    """A request with a Content-Length or without a body."""
    first, *lines = (start + await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    method, path, _ = first.split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines if line)}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Request(method, path, headers, body)
