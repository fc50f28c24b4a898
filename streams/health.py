"""A worker's health over HTTP: `/livez` for whoever may restart it, `/readyz` for whoever waits for it."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus

log = logging.getLogger("headwater.health")

MAX_REQUEST_BYTES = 4096
"""A probe's head has about 150."""
REQUEST_S = 5.0
"""From connecting to the end of the answer; probes take a millisecond."""
MAX_OPEN = 32
"""Connections at once; a further one ends the oldest, so that idle ones keep no probe out."""


@dataclass(frozen=True, slots=True)
class Health:
    """What a worker says of itself, to GET alone, and without the reasons that its log gives.

    `/readyz` is 200 from the moment that every stage has joined its consumer group, until the worker is told to stop.
    Before and after it is 503.

    `/livez` is 200 while the event loop turns, since it is that loop that answers, and while every reader came round
    within the last `HUNG_S` (`streams/runtime/engines/hosting.py`). It says nothing of brokers and backends: work
    waits for those that are away, and a restart brings none of them back.
    """

    ready: Callable[[], bool]
    hung: Callable[[], Sequence[str]]
    """Consumer groups whose reader has stopped to come round."""

    def answer(self, request: bytes) -> bytes:
        """The response to a request's head, whatever that holds."""
        match request.split(b" ", 2)[:2]:
            case [b"GET", b"/readyz"]:
                status = HTTPStatus.OK if self.ready() else HTTPStatus.SERVICE_UNAVAILABLE
            case [b"GET", b"/livez"]:
                status = HTTPStatus.SERVICE_UNAVAILABLE if self._hangs() else HTTPStatus.OK
            case _:
                status = HTTPStatus.NOT_FOUND
        return b"HTTP/1.1 %d %s\r\nContent-Length: 0\r\nConnection: close\r\n\r\n" % (status, status.phrase.encode())

    def _hangs(self) -> bool:
        hung = self.hung()
        if hung:
            log.error("reader hangs", extra={"groups": hung})
        return bool(hung)


@asynccontextmanager
async def listening(port: int, health: Health) -> AsyncIterator[None]:
    """Answer on `port`, on all addresses of this machine, inside. Raises OSError where it is taken."""
    open_exchanges: dict[_Exchange, None] = {}
    loop = asyncio.get_running_loop()
    # No backlog beyond what is served: the rest is the kernel's to refuse.
    server = await loop.create_server(lambda: _Exchange(health, open_exchanges), port=port, backlog=MAX_OPEN)
    try:
        yield
    finally:
        server.close()
        for exchange in list(open_exchanges):
            exchange.end()
        await server.wait_closed()


class _Exchange(asyncio.Protocol):
    """One connection: a request's head, the answer, the end."""

    def __init__(self, health: Health, others: "dict[_Exchange, None]") -> None:
        self._health = health
        self._others = others
        self._head = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # of a server on TCP
        self._transport = transport
        self._late = asyncio.get_running_loop().call_later(REQUEST_S, self.end)
        if len(self._others) >= MAX_OPEN:
            next(iter(self._others)).end()
        self._others[self] = None

    def data_received(self, data: bytes) -> None:
        self._head += data
        if b"\r\n\r\n" in self._head:
            self._transport.write(self._health.answer(self._head))
            self._transport.close()
        elif len(self._head) > MAX_REQUEST_BYTES:
            self.end()

    def connection_lost(self, exc: Exception | None) -> None:
        self._late.cancel()
        self._others.pop(self, None)

    def end(self) -> None:
        """Now, with or without an answer."""
        self._others.pop(self, None)
        self._transport.abort()
