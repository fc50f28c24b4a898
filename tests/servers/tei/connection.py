"""A connection to the stand-in: aiohttp's, but where TEI's HTTP library does otherwise."""

import asyncio

from aiohttp import EMPTY_PAYLOAD, StreamReader, web

from tests.servers.tei.http2 import PREFACE, Answering, Asked, Streams

NEVER_S = 10.0**9
"""TEI closes no connection for being idle, and waits for whatever is in flight when it is told to end."""
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Connection(web.RequestHandler):
    """HTTP/1, or HTTP/2 where the first bytes announce it."""

    def __init__(self, server: web.Server, answering: Answering) -> None:
        super().__init__(
            server,
            loop=asyncio.get_running_loop(),
            keepalive_timeout=NEVER_S,
            lingering_time=0,
            auto_decompress=False,
        )
        self._answering = answering
        self._first: bytes | None = b""
        """What has come as long as it may become HTTP/2's preface."""
        self._streams: Streams | None = None
        self._body: StreamReader = EMPTY_PAYLOAD

    def data_received(self, data: bytes) -> None:
        if self._first is not None:
            data = self._first + data
            if len(data) < len(PREFACE) and PREFACE.startswith(data):
                self._first = data
                return
            self._first = None
            if data.startswith(PREFACE):
                assert self.transport
                self._streams = Streams(self.transport, self._answering)
        if self._streams:
            self._streams.receive(data)
            return
        super().data_received(data)
        if self._messages:
            self._body = self._messages[-1][1]

    def eof_received(self) -> bool:  # type: ignore[override]  # aiohttp takes only one of the two answers
        """A caller who ends sending is gone, but one who does so amid a body is told that it is too short."""
        if self._body.is_eof():
            return False
        self._body.set_exception(web.RequestPayloadError("shorter than its content-length"))
        return True

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        if status != 400:
            return super().handle_error(request, status, exc, message)
        response = web.Response(status=status, headers={"connection": "close"})
        response.force_close()
        return response

    def connection_lost(self, exc: BaseException | None) -> None:
        if self._streams:
            self._streams.lose()
        super().connection_lost(exc)

    async def shutdown(self, timeout: float | None = None) -> None:  # noqa: ASYNC109  # as in aiohttp
        if self._streams:
            await self._streams.finish()
        await super().shutdown(timeout)


class Request(web.BaseRequest):
    """A request that comes by HTTP/1."""

    async def asked(self) -> Asked:
        if self.headers.get("expect", "").lower() == "100-continue":
            await self.writer.write(CONTINUE)
        return Asked(self.method, self.path, self.headers, self.content.iter_any())

    async def _prepare_hook(self, response: web.StreamResponse) -> None:
        """Take out what aiohttp adds."""
        response.headers.pop("Server", None)
        if response.content_type == "application/octet-stream":
            response.headers.pop("Content-Type", None)
        response.headers.setdefault("Content-Length", "0")
