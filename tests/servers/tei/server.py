"""The stand-in over HTTP: paths, headers, keys, limits, and how it ends."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import orjson
from aiohttp import web

from tests.servers.tei.encoding import Encoder
from tests.servers.tei.endpoints import Answer, Endpoints
from tests.servers.tei.engine import Engine
from tests.servers.tei.flags import Flags
from tests.servers.tei.model import MiniLm
from tests.servers.tei.refusals import Refusal, Unreadable
from tests.servers.tei.work import Work

OPENAPI = Path(__file__).with_name("openapi.json")
DOCS = b"<!DOCTYPE html><title>Swagger UI</title><p>The document is at /api-doc/openapi.json.</p>\n"
NEVER_S = 10.0**9
"""TEI closes no connection for being idle, and waits for whatever is in flight when it is told to end."""

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
    _runner: web.AppRunner = field(init=False)
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
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._handle)
        app.on_response_prepare.append(self._finish)
        self._runner = web.AppRunner(
            app,
            access_log=None,
            # A caller that hangs up frees its permits, and its queued texts are dropped.
            handler_cancellation=True,
            shutdown_timeout=NEVER_S,
            keepalive_timeout=NEVER_S,
            lingering_time=0,
            auto_decompress=False,
        )
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.flags.port, reuse_address=True).start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Listen no more, finish what is in flight, close what is idle."""
        self._ending = True
        await self._runner.cleanup()
        await self.engine.stop()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        path = request.path
        allowed = _allowed(path in self._gets, path in self._posts)
        if request.method == "OPTIONS":
            return web.Response(headers={**PREFLIGHT, "allow": ",".join(allowed)})
        if not allowed:
            return web.Response(status=404)
        headers = {} if request.method in allowed else {"allow": ",".join(allowed)}
        if self._locked(request):
            return web.Response(status=401, headers=headers)
        if headers:
            return web.Response(status=405, headers=headers)
        if request.method == "POST":
            return await self._post(request, self._posts[path])
        return await self._gets[path]()

    async def _post(self, request: web.Request, endpoint: Post) -> web.Response:
        try:
            answer = await endpoint(await self._body(request))
        except Unreadable as error:
            return web.Response(status=error.status, text=error.message)
        except Refusal as refusal:
            self.engine.failed(refusal)
            return web.Response(status=refusal.status, body=_refused(request.path, refusal), content_type=JSON)
        return _json(answer)

    async def _body(self, request: web.Request) -> bytes:
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != JSON and not (kind.startswith("application/") and kind.endswith("+json")):
            raise Unreadable(415, "Expected request with `Content-Type: application/json`")
        parts, size = [], 0
        try:
            async for part in request.content.iter_any():
                parts.append(part)
                size += len(part)
                if size > self.flags.payload_limit:
                    raise Unreadable(413, "Failed to buffer the request body: length limit exceeded")
        except web.HTTPException as error:
            raise Unreadable(400, "Failed to buffer the request body: error reading a body from connection") from error
        return b"".join(parts)

    def _locked(self, request: web.Request) -> bool:
        key = self.flags.api_key
        open_path = request.path in self._gets and request.path != "/info" and request.method != "POST"
        open_path |= request.path == SLOW_FACTOR
        return key is not None and not open_path and request.headers.get("authorization") != f"Bearer {key}"

    async def _finish(self, _request: web.Request, response: web.StreamResponse) -> None:
        headers = response.headers
        headers.pop("Server", None)
        if response.content_type == "application/octet-stream":
            headers.pop("Content-Type", None)
        headers.setdefault("Content-Length", "0")
        headers["vary"] = VARY
        headers["access-control-allow-origin"] = "*"
        if self._ending:
            headers["connection"] = "close"
            response.force_close()

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
