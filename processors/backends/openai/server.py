"""An OpenAI-compatible server: what it serves, the events of an answer, and what its refusals mean."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import orjson

from processors.backends.http import HttpServer, Misdeployed, is_html
from processors.backends.openai.events import Event, NoEvent, event_data, read_event
from processors.errors import Poison, Transient

SILENCE_TIMEOUT_S = 60.0
"""Between two pieces of a stream; the first may wait for a free slot of the server."""
CHECK_TIMEOUT_S = 10.0


class ContextTooLong(Exception):
    """The server refused a prompt because it exceeds the model's context."""


class OpenAIServer:
    """One model on one server. Raises Misdeployed where a person must act, and Transient for the rest."""

    def __init__(self, server: HttpServer, model: str) -> None:
        self.http = server
        self.model = model
        self.llama_cpp: bool | None = None
        """None until the server was asked what it serves."""
        self._answering_as = ""
        """The name that the server gives its model, from its first answer on."""
        self._client: Any = None

    @property
    def is_open(self) -> bool:
        return self._client is not None

    def open(self) -> None:
        import httpx

        self._client = httpx.AsyncClient(**self.http.connection(answer_timeout_s=SILENCE_TIMEOUT_S))

    async def close(self) -> None:
        client, self._client = self._client, None
        if client:
            await client.aclose()

    async def know_model(self) -> bool:
        """Make sure that the server serves the model; false where it lists nothing."""
        try:
            async with self._request("GET", "/models", timeout=CHECK_TIMEOUT_S) as response:
                said = await response.aread()
        except Misdeployed as error:
            if error.status not in (404, 405):
                raise
            self.llama_cpp = False
            return False
        try:
            served = orjson.loads(said)["data"]
            names = [str(model.get("id")) for model in served]
            # llama.cpp serves one model and answers to any name.
            llama_cpp = any(model.get("owned_by") == "llamacpp" for model in served)
        except (orjson.JSONDecodeError, AttributeError, KeyError, TypeError):
            problem = f"{self.http.base}/models says{self.http.said(said)}: that is no OpenAI-compatible API"
            raise Misdeployed("bad-url", f"{problem}; correct generator") from None
        if names and self.model not in names and not llama_cpp:
            problem = f"{self.http.base} serves {names}, not {self.model!r}"
            raise Misdeployed("unknown-model", f"{problem}: change generator's model=")
        self.llama_cpp = llama_cpp
        return True

    async def healthy(self) -> None:
        """Ask the health route that vLLM, TGI and llama.cpp have beside the API; who has none cannot be ill."""
        parts = urlsplit(self.http.base)
        try:
            root = f"{parts.scheme}://{parts.netloc}"
            async with self._request("GET", "/health", base=root, timeout=CHECK_TIMEOUT_S):
                return
        except Misdeployed as error:
            if error.status not in (200, 404, 405):  # 200: a gateway's page for people
                raise

    async def events(self, path: str, body: dict[str, Any], **parts: Any) -> AsyncGenerator[Event, None]:
        """The events of an answer that is complete. Raises where it breaks off, or another model gives it.

        Closing the iterator closes the connection, by which the server knows to stop; llama.cpp notices that while it
        reads a prompt only if it has progress to report.
        """
        if self.llama_cpp:
            body = body | {"return_progress": True}
        finished = False
        async with self._request("POST", path, json=body, **parts) as response:
            try:
                async for data in event_data(response.aiter_bytes()):
                    if data == b"[DONE]":
                        finished = True
                        break
                    event = read_event(data)
                    self._mind(event)
                    finished = finished or event.finish is not None
                    yield event
            except NoEvent as error:
                raise self.http.nonsense(f"its stream holds {error}") from error
        if not finished:
            raise Transient(f"{self.http.base} ended its answer in the middle; see the server's log")

    def _mind(self, event: Event) -> None:
        """Raise what an event says beside text."""
        if event.error:
            if _exceeds_context(event.error):
                raise ContextTooLong(event.error)
            said = self.http.said(event.error.encode())
            raise Transient(f"{self.http.base} failed in the middle of an answer{said}; see the server's log")
        if event.finish == "content_filter":
            raise Poison("filtered", f"{self.http.base} withholds this answer (content_filter): ask in other words")
        if event.finish in ("abort", "error"):
            raise Transient(f"{self.http.base} gave up an answer ({event.finish}); see the server's log")
        if not event.model or event.model.startswith(self.model):
            return  # a hosted server tells the release behind the name that was asked for
        self._answering_as = self._answering_as or event.model
        if event.model != self._answering_as:
            problem = f"{self.http.base} answered as {self._answering_as!r} before and as {event.model!r} now"
            raise Misdeployed("model-replaced", f"{problem}: set generator's model=, or restart the workers")

    @asynccontextmanager
    async def _request(self, method: str, path: str, *, base: str = "", **parts: Any) -> AsyncIterator[Any]:
        """A response whose status is good; every failure until it is closed in the words of the ports."""
        if self._client is None:
            raise Transient(f"the generator at {self.http.base} is not open")
        with self.http.translated():
            async with self._client.stream(method, (base or self.http.base) + path, **parts) as response:
                if response.status_code != 200:
                    raise self._refusal(method, response.status_code, response.headers, await response.aread())
                if is_html(response.headers, b""):
                    raise self.http.nonsense("with a page for people", await response.aread())
                yield response

    def _refusal(self, method: str, status: int, headers: Any, body: bytes) -> Exception:
        said = body[:2000].decode(errors="replace")
        if method == "POST" and (status == 413 or (status in (400, 422) and _exceeds_context(said))):
            return ContextTooLong(said)
        if status == 404 and "model" in said.lower():
            problem = f"{self.http.base} answers 404{self.http.said(body)}"
            return Misdeployed("unknown-model", f"{problem}; change generator's model=", status=status)
        return self.http.refusal(status, headers, body)


def _exceeds_context(said: str) -> bool:
    """How llama.cpp, vLLM, TGI and OpenAI say so; TGI: `inputs` tokens + `max_new_tokens` must be <= ..."""
    return any(word in said.lower() for word in ("context", "must be <=", "input too long", "maximum input length"))
