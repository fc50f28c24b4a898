"""The stand-in over HTTP: paths, headers, keys, limits, and how it ends."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import orjson
from aiohttp import web

from tests.servers.tei.connection import Connection, Request
from tests.servers.tei.encoding import Encoder
from tests.servers.tei.endpoints import Answer, Endpoints
from tests.servers.tei.engine import Engine
from tests.servers.tei.flags import Flags
from tests.servers.tei.http2 import Asked
from tests.servers.tei.model import MiniLm
from tests.servers.tei.refusals import Refusal, Unreadable
from tests.servers.tei.work import Work

OPENAPI = Path(__file__).with_name("openapi.json")
DOCS = b"<!DOCTYPE html><title>Swagger UI</title><p>The document is at /api-doc/openapi.json.</p>\n"

VARY = "origin, access-control-request-method, access-control-request-headers"
PREFLIGHT = {"access-control-allow-methods": "GET,POST", "access-control-allow-headers": "content-type"}
JSON = "application/json"
SLOW_FACTOR = "/stand-in/slow-factor"

Post = Callable[[bytes], Awaitable[Answer]]
Get = Callable[[], Awaitable[web.Response]]


@dataclass(slots=True)
class Server:
    """One running stand-in; several may share a model and a loop."""

    flags: Flags
    model: MiniLm
    engine: Engine = field(init=False)
    port: int = 0
    _ending: bool = False
    _http: web.Server = field(init=False)
    _listener: asyncio.Server = field(init=False)
    _posts: Mapping[str, Post] = field(init=False)
    _gets: Mapping[str, Get] = field(init=False)
    _vertex: Endpoints = field(init=False)

    def __post_init__(self) -> None:
        self.engine = Engine(self.model, self.flags)
        paths = Endpoints(Work(self.flags, self.model, Encoder(self.model.tokenizer, self.flags), self.engine))
        self._vertex = paths
        self._posts = {
            "/": paths.main,
            "/invocations": paths.main,
            "/embed": paths.embed,
            "/embed_all": paths.embed_all,
            "/embed_sparse": paths.embed_sparse,
            "/rerank": paths.rerank,
            "/predict": paths.predict,
            "/similarity": paths.similarity,
            "/tokenize": paths.tokenize,
            "/decode": paths.decode,
            "/embeddings": paths.openai,
            "/v1/embeddings": paths.openai,
            "/vertex": self._instances,
            SLOW_FACTOR: self._slow_down,
        }
        self._gets = {
            "/": self._health,
            "/health": self._health,
            "/ping": self._health,
            "/info": self._info,
            "/metrics": self._metrics,
            "/docs/": self._docs,
            "/api-doc/openapi.json": self._openapi,
        }

    async def start(self) -> None:
        """Serve; `port` is the one taken."""
        self.engine.start()
        loop = asyncio.get_running_loop()
        # A caller that hangs up frees its permits, and its queued texts are dropped.
        self._http = web.Server(self._handle, request_factory=partial(Request, loop=loop), handler_cancellation=True)
        self._listener = await loop.create_server(
            partial(Connection, self._http, self._answer), "127.0.0.1", self.flags.port, reuse_address=True
        )
        self.port = self._listener.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Listen no more, finish what is in flight, close what is idle."""
        self._ending = True
        self._listener.close()
        await asyncio.sleep(0)  # requests that are here already still start
        self._http.pre_shutdown()
        await self._http.shutdown()
        await self.engine.stop()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        assert isinstance(request, Request)
        response = await self._answer(await request.asked())
        if self._ending:
            response.force_close()
        return response

    async def _answer(self, asked: Asked) -> web.Response:
        response = await self._routed(asked)
        response.headers["vary"] = VARY
        response.headers["access-control-allow-origin"] = "*"
        return response

    async def _routed(self, asked: Asked) -> web.Response:
        path = asked.path
        allowed = _allowed(path in self._gets, path in self._posts)
        if asked.method == "OPTIONS":
            return web.Response(headers={**PREFLIGHT, "allow": ",".join(allowed)})
        if not allowed:
            return web.Response(status=404)
        headers = {} if asked.method in allowed else {"allow": ",".join(allowed)}
        if self._locked(asked):
            return web.Response(status=401, headers=headers)
        if headers:
            return web.Response(status=405, headers=headers)
        if asked.method == "POST":
            return await self._post(asked, self._posts[path])
        return await self._gets[path]()

    async def _post(self, asked: Asked, endpoint: Post) -> web.Response:
        try:
            answer = await endpoint(await self._body(asked))
        except Unreadable as error:
            return web.Response(status=error.status, text=error.message)
        except Refusal as refusal:
            self.engine.failed(refusal)
            return web.Response(status=refusal.status, body=_refused(asked.path, refusal), content_type=JSON)
        return _json(answer)

    async def _body(self, asked: Asked) -> bytes:
        kind = asked.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != JSON and not (kind.startswith("application/") and kind.endswith("+json")):
            raise Unreadable(415, "Expected request with `Content-Type: application/json`")
        parts, size = [], 0
        try:
            async for part in asked.body:
                parts.append(part)
                size += len(part)
                if size > self.flags.payload_limit:
                    raise Unreadable(413, "Failed to buffer the request body: length limit exceeded")
        except web.RequestPayloadError as error:
            raise Unreadable(400, "Failed to buffer the request body: error reading a body from connection") from error
        return b"".join(parts)

    def _locked(self, asked: Asked) -> bool:
        key = self.flags.api_key
        open_path = asked.path in self._gets and asked.path != "/info" and asked.method != "POST"
        open_path |= asked.path == SLOW_FACTOR
        return key is not None and not open_path and asked.headers.get("authorization") != f"Bearer {key}"

    async def _instances(self, data: bytes) -> Answer:
        """Vertex: the main path, for each instance."""
        try:
            instances = orjson.loads(data)["instances"]
        except (orjson.JSONDecodeError, KeyError, TypeError) as error:
            raise Unreadable(422, f"Failed to deserialize the JSON body into the target type: {error}") from error
        answers = [await self._vertex.main(orjson.dumps(each)) for each in instances]
        return Answer({"predictions": [answer.body for answer in answers]})

    async def _slow_down(self, data: bytes) -> Answer:
        try:
            self.engine.slow_factor = max(1.0, float(data))
        except ValueError as error:
            raise Unreadable(422, f"{data!r} is not a number such as 3.0") from error
        return Answer(self.engine.slow_factor)

    async def _health(self) -> web.Response:
        await self.engine.healthy()
        return web.Response()

    async def _info(self) -> web.Response:
        return _json(self._vertex.info())

    async def _metrics(self) -> web.Response:
        counts = {**self.engine.counts, "te_queue_size": self.engine.queued}
        lines, previous = [], ""
        for key in sorted(counts):
            name = key.partition("{")[0]
            if name != previous:
                lines.append(f"# TYPE {name} {'gauge' if name == 'te_queue_size' else 'counter'}")
            lines.append(f"{key} {counts[key]}")
            previous = name
        return web.Response(text="\n".join(lines) + "\n")

    async def _docs(self) -> web.Response:
        return web.Response(body=DOCS, content_type="text/html")

    async def _openapi(self) -> web.Response:
        return web.Response(body=await asyncio.to_thread(OPENAPI.read_bytes), content_type=JSON)


def _allowed(get: bool, post: bool) -> Sequence[str]:
    return ("GET", "HEAD") * get + ("POST",) * post


def _json(answer: Answer) -> web.Response:
    options = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_SERIALIZE_DATACLASS
    return web.Response(body=orjson.dumps(answer.body, option=options), headers=answer.headers, content_type=JSON)


def _refused(path: str, refusal: Refusal) -> bytes:
    if path in ("/embeddings", "/v1/embeddings"):
        return orjson.dumps({"message": refusal.message, "code": refusal.status, "type": refusal.kind})
    return orjson.dumps({"error": refusal.message, "error_type": refusal.kind})
