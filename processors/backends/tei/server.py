"""One text-embeddings-inference server: what it serves, how much it takes, and its errors in our words."""

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self
from weakref import WeakSet

import orjson

from processors.backends.http import HttpServer, Misdeployed
from processors.backends.tei.permits import Permits
from processors.errors import Poison, Transient

Kind = Literal["embedding", "sparse embedding", "reranker", "classifier"]

ANSWER_TIMEOUT_S = 60.0
"""A full server's queue of 512 texts of 256 tokens takes 7 s on two cores."""
INFO_TIMEOUT_S = 10.0
"""/info takes no permit and no model: a server that is silent for so long hangs, however much it has to do."""
KEEPALIVE_S = 30.0
"""TEI hangs up on nobody; proxies do after a minute. A new connection costs a question a second request, for /info."""
INFO_TTL_S = 10.0
"""/info is read again after so long, or when a connection is new: a server cannot change its model in between unless
something stands before it."""
SPLADE = "splade"
CHARS_PER_TOKEN = 250
"""TEI reads so many characters for each token that the model takes, and no more."""

JSON = {"content-type": "application/json"}
_TOO_LONG = re.compile(r"must have less than \d+ (tokens|characters)")


class TooLong(Exception):
    """A text of the list has more tokens than the model reads; the server does not say which."""


class TooLarge(Exception):
    """The request's body exceeds what the server, or something before it, accepts."""


class Failed(Exception):
    """The server could not compute the list, maybe for a text that shared a batch with it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Info:
    """What a server says about itself."""

    model_id: str
    revision: str
    kind: Kind
    pooling: str
    version: str
    max_texts: int
    """In one list."""
    max_texts_at_once: int
    max_tokens: int
    """Of one text with its special tokens, or of a question and a passage together."""

    @classmethod
    def parse(cls, answer: Any) -> Self:
        """Raises KeyError, TypeError and ValueError where the answer is not TEI's."""
        [(kind, about)] = answer["model_type"].items()
        pooling = str(about["pooling"]) if kind == "embedding" else ""
        return cls(
            model_id=str(answer["model_id"]),
            revision=str(answer.get("model_sha") or ""),
            kind="sparse embedding" if pooling == SPLADE else kind,
            pooling=pooling,
            version=str(answer["version"]),
            max_texts=max(1, int(answer["max_client_batch_size"])),
            max_texts_at_once=max(1, int(answer["max_concurrent_requests"])),
            max_tokens=int(answer["max_input_length"]),
        )

    @property
    def fingerprint(self) -> str:
        return "/".join(filter(None, (self.model_id, self.revision[:12], self.pooling)))


class TeiServer:
    """Calls that raise what the texts or the server are to blame for; of one model as long as it is open."""

    def __init__(self, http: HttpServer, *, kind: Kind, answer_timeout_s: float = ANSWER_TIMEOUT_S) -> None:
        self._http = http
        self._kind = kind
        self._timeout_s = answer_timeout_s
        self._info: Info | None = None
        self._client: Any = None
        self._seen: WeakSet[Any] = WeakSet()
        """Connections over which this server was the one that `_info` describes."""
        self._verified_at = 0.0
        self._doubts = 0
        """Reasons so far to ask who answers; those up to `_settled` are dealt with."""
        self._settled = 0
        self._using = asyncio.Lock()
        self.permits = Permits()

    @property
    def base(self) -> str:
        return self._http.base

    @property
    def info(self) -> Info:
        if self._info is None:
            raise Transient(f"the {self._http.setting} at {self.base} is not open")
        return self._info

    async def open(self) -> None:
        async with self._using:
            if self._client is None:
                connection = self._http.connection(answer_timeout_s=self._timeout_s, keepalive_s=KEEPALIVE_S)
                self._client = _client(connection, self.base)
            if self._info is None:
                self._accept(await self._described())

    async def close(self) -> None:
        client, self._client, self._info = self._client, None, None
        if client is not None:
            await client.get_async_httpx_client().aclose()

    async def post(self, path: str, body: Mapping[str, object]) -> Any:
        """The answer's JSON. Raises TooLong, TooLarge, Failed and Transient."""
        return await self._request("POST", path, content=orjson.dumps(body))

    async def verify(self, *, now: bool = False) -> None:
        """Raise Transient where another model is served by now; asks where that may be so, or where told to."""
        self._doubts += now
        if not self._stale():
            return
        async with self._using:
            if not self._stale():
                return
            known, doubts = self.info, self._doubts
            found = await self._described()
            if (found.fingerprint, found.kind) != (known.fingerprint, known.kind):
                self._doubts += 1
                raise Misdeployed("model-replaced", self._replaced(known, found))
            self._accept(found)
            self._settled = doubts

    async def healthy(self) -> None:
        """Ask /health. Only for the one prober of a server: eight at once abort a busy TEI."""
        with self._http.translated():
            response = await self._session().get("/health")
        if response.status_code != 200:
            raise self._http.refusal(response.status_code, response.headers, response.content)

    def about(self) -> str:
        return (
            f"{self.base}, text-embeddings-inference {self.info.version}, {self.info.max_texts_at_once} texts at once, "
            f"{self.info.max_texts} in a list"
        )

    def _stale(self) -> bool:
        return self._doubts > self._settled or asyncio.get_running_loop().time() - self._verified_at >= INFO_TTL_S

    def _replaced(self, known: Info, found: Info) -> str:
        return (
            f"{self.base} serves {found.fingerprint!r} ({found.kind}) by now, and served {known.fingerprint!r} before: "
            "start that one again, or restart the workers, with an index of its own for another embedding"
        )

    def _accept(self, info: Info) -> None:
        if info.kind != self._kind:
            raise Misdeployed(
                "wrong-model",
                f"{self.base} serves {info.fingerprint!r}, whose kind is {info.kind}; {self._http.setting} needs "
                f"{self._kind}: correct {self._http.setting}",
            )
        changed = self._info is None or info.max_texts_at_once != self._info.max_texts_at_once
        if changed:
            self.permits.resize(info.max_texts_at_once, reserve=info.max_texts)
        self._info = info
        self._verified_at = asyncio.get_running_loop().time()

    async def _described(self) -> Info:
        answer = await self._request("GET", "/info", timeout=min(self._timeout_s, INFO_TIMEOUT_S))
        try:
            return Info.parse(answer)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            problem = f"/info is not what text-embeddings-inference says of itself ({error!r})"
            raise self._http.nonsense(problem, orjson.dumps(answer)) from None

    async def _request(self, method: str, path: str, **parts: Any) -> Any:
        with self._http.translated():
            response = await self._session().request(method, path, headers=JSON, **parts)
        connection = response.extensions["network_stream"]
        if connection not in self._seen:
            self._seen.add(connection)
            self._doubts += path != "/info"
        if response.status_code != 200 and method == "GET":
            raise self._http.refusal(response.status_code, response.headers, response.content)
        if response.status_code != 200:
            raise self._refusal(response)
        try:
            return orjson.loads(response.content)
        except orjson.JSONDecodeError:
            raise self.nonsense("with something that is no JSON", response.content) from None

    def _session(self) -> Any:
        if self._client is None:
            raise Transient(f"the {self._http.setting} at {self.base} is not open")
        return self._client.get_async_httpx_client()

    def nonsense(self, problem: str, body: bytes = b"") -> Misdeployed:
        """See HttpServer.nonsense."""
        return self._http.nonsense(problem, body)

    def _refusal(self, response: Any) -> Exception:
        """By the error type that TEI names; by the status where something else answers, or it names none."""
        status, body = response.status_code, response.content
        error_type, said = _named(body)
        if error_type == "Validation" and _TOO_LONG.search(said):
            return TooLong(said)
        if error_type in ("Backend", "Tokenizer", "Empty"):
            return Failed(f"{status} {error_type}: {said}")
        if status == 413 and not error_type:
            return TooLarge(f"{self.base} answers 413{self._http.said(body)}")
        refusal = self._http.refusal(status, response.headers, said.encode() or body)
        if error_type == "Overloaded" or status == 429:
            self.permits.refused(asyncio.get_running_loop().time())
            return refusal
        self._doubts += 1  # its limits may have changed
        return refusal


def _client(connection: dict[str, Any], base: str) -> Any:
    try:
        from text_embeddings_inference_client import Client
    except ImportError as error:
        raise Poison(
            "client-missing", f"no client for {base} is installed ({error}): the extra `tei` brings it"
        ) from error

    return Client(
        base_url=base,
        headers=connection["headers"],
        timeout=connection["timeout"],
        verify_ssl=connection["verify"],
        httpx_args={"limits": connection["limits"], "trust_env": connection["trust_env"]},
    )


def _named(body: bytes) -> tuple[str, str]:
    """The error type and message of TEI's JSON; empty where the body is something else."""
    try:
        error = orjson.loads(body)
        return str(error["error_type"]), str(error["error"])
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return "", ""
