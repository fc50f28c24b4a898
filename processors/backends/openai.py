"""Answers from a language model behind an OpenAI-compatible API: vLLM, llama.cpp, TGI, or a hosted one."""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import orjson

from processors.backends.http import HttpServer, Misdeployed, at_start, is_html
from processors.backends.openai_events import Event, NoEvent, event_data, read_event
from processors.backends.written import Written
from processors.errors import Poison, Transient
from processors.ports import Fragment
from processors.prompts import COMPLETION_STOPS, completion, messages
from schemas import AnswerMode, Passage, Usage

MAX_TOKENS = 128
EVIDENCE_BYTES = 1_600
"""About 400 tokens of English, two chunks: a small model on a CPU reads a few hundred a second before it answers."""
SILENCE_TIMEOUT_S = 60.0
"""Between two pieces of a stream; the first may wait for a free slot of the server."""
CHECK_TIMEOUT_S = 10.0
OPTIONS = ("model", "api", "max_tokens", "evidence_bytes")
APIS = {"chat": "/chat/completions", "completions": "/completions"}
FORM = f"openai+http://host:port/v1?model=NAME[&api={'|'.join(APIS)}][&max_tokens=NUMBER][&evidence_bytes=NUMBER]"


class ContextTooLong(Exception):
    """The server refused a prompt because it exceeds the model's context."""


class OpenAIGenerator:
    """Streams answers from `openai+http://host:port/v1?model=NAME`; docs/servers.md lists the options.

    Where a prompt exceeds the model's context, it is sent again with half the evidence. Reasoning is not passed on,
    whether the server keeps it apart or the model writes it between tags, and an answer ends where it begins to
    repeat itself. Closing the iterator closes the connection, by which the server knows to stop.
    """

    def __init__(self, url: str, key: str = "", ca_file: Path | None = None) -> None:
        self._server, options = HttpServer.parse(url, setting="generator", known=OPTIONS, key=key, ca_file=ca_file)
        self._model, api = options.get("model", ""), options.get("api", "chat")
        if not self._model or api not in APIS:
            raise Poison("bad-url", f"generator: {url!r}: write {FORM}")
        self._path = APIS[api]
        self._max_tokens = _number(options, "max_tokens", MAX_TOKENS)
        self._evidence_bytes = _number(options, "evidence_bytes", EVIDENCE_BYTES)
        self._serving = ""
        """The name that the server gives its model, from its first answer on."""
        self._client: Any = None

    @property
    def mode(self) -> AnswerMode:
        return "generative"

    @property
    def model(self) -> str:
        return self._model

    async def open(self) -> None:
        """Refuses a server that is not what the settings say; one that is down may come later."""
        import httpx

        if self._client is None:
            self._client = httpx.AsyncClient(**self._server.connection(answer_timeout_s=SILENCE_TIMEOUT_S))
            try:
                await self.check()
            except Poison:
                await self.close()
                raise
            except Transient:
                return

    async def close(self) -> None:
        client, self._client = self._client, None
        if client:
            await client.aclose()

    async def check(self) -> str:
        with at_start():
            await self._know_model()
            # llama.cpp lists its models to everybody.
            if self._server.key:
                await self._answer_anything()
        return f"{self._model} at {self._server.base}"

    async def _know_model(self) -> None:
        async with self._request("GET", "/models", timeout=CHECK_TIMEOUT_S) as response:
            said = await response.aread()
        try:
            served = orjson.loads(said)["data"]
            names = [str(model.get("id")) for model in served]
            # llama.cpp serves one model and answers to any name.
            any_name = any(model.get("owned_by") == "llamacpp" for model in served)
        except (orjson.JSONDecodeError, AttributeError, KeyError, TypeError):
            problem = f"{self._server.base}/models says{self._server.said(said)}: that is no OpenAI-compatible API"
            raise Misdeployed("bad-url", f"{problem}; correct generator") from None
        if names and self._model not in names and not any_name:
            problem = f"{self._server.base} serves {names}, not {self._model!r}"
            raise Misdeployed("unknown-model", f"{problem}: change generator's model=")

    async def _answer_anything(self) -> None:
        """The least that a server can be asked. Raises what any question would meet."""
        body = self._asked("Hello?", ()) | {"max_tokens": 1}
        async with aclosing(self._events(body, timeout=CHECK_TIMEOUT_S)) as events:
            async for _ in events:
                return

    async def generate(self, question: str, passages: Sequence[Passage]) -> AsyncGenerator[Fragment, None]:
        for share in (1, 2, 4, 8):
            body, begun = self._asked(question, passages, share), False
            try:
                async with aclosing(self._written(body)) as fragments:
                    async for fragment in fragments:
                        begun = True
                        yield fragment
            except ContextTooLong:
                if begun:
                    break
                continue
            except Misdeployed as error:
                raise await self._whose_fault(error) from error
            return
        raise Poison("prompt-too-long", f"{self._model!r} has too small a context for this question: ask a shorter one")

    async def _whose_fault(self, error: Misdeployed) -> Exception:
        """Poison where the server takes another question: then this one is at fault and not the deployment."""
        if error.status not in (400, 413, 422):
            return error
        try:
            await self._answer_anything()
        except (Transient, ContextTooLong):
            return error
        return Poison("request-refused", f"{error.reason}; it takes other questions: ask in other words")

    def _asked(self, question: str, passages: Sequence[Passage], share: int = 1) -> dict[str, Any]:
        evidence_bytes = self._evidence_bytes // share
        prompt: dict[str, Any]
        if self._path == APIS["chat"]:
            prompt = {"messages": messages(question, passages, evidence_bytes=evidence_bytes)}
        else:
            prompt = {
                "prompt": completion(question, passages, evidence_bytes=evidence_bytes),
                "stop": COMPLETION_STOPS,
            }
        return prompt | {
            "model": self._model,
            "max_tokens": self._max_tokens,
            "temperature": 0,
            "stream": True,
            "stream_options": {"include_usage": True},
        }

    async def _written(self, body: dict[str, Any]) -> AsyncGenerator[Fragment, None]:
        written, usage, reasoned = Written(), Usage(), False
        async with aclosing(self._events(body)) as events:
            async for event in events:
                usage, reasoned = event.usage or usage, reasoned or event.reasoning
                if text := written.feed(event.text):
                    yield Fragment(text=text)
                if written.unmarked:
                    problem = f"{self._server.base} writes reasoning into its answers, and only marks its end"
                    raise Misdeployed("reasoning-unmarked", f"{problem}: start it with its reasoning parser")
                if written.complete:
                    break
        yield Fragment(text=written.end(reasoned=reasoned), usage=usage)

    async def _events(self, body: dict[str, Any], **parts: Any) -> AsyncGenerator[Event, None]:
        """The events of an answer that is complete. Raises where it breaks off, or another model gives it."""
        finished = False
        async with self._request("POST", self._path, json=body, **parts) as response:
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
                raise self._server.nonsense(f"its stream holds {error}") from error
        if not finished:
            raise Transient(f"{self._server.base} ended its answer in the middle; see the server's log")

    def _mind(self, event: Event) -> None:
        """Raise what an event says beside text."""
        if event.error:
            if _exceeds_context(event.error):
                raise ContextTooLong(event.error)
            said = self._server.said(event.error.encode())
            raise Transient(f"{self._server.base} failed in the middle of an answer{said}; see the server's log")
        if event.finish == "content_filter":
            raise Poison("filtered", f"{self._server.base} withholds this answer (content_filter): ask in other words")
        if event.finish in ("abort", "error"):
            raise Transient(f"{self._server.base} gave up an answer ({event.finish}); see the server's log")
        if not event.model or event.model.startswith(self._model):
            return  # a hosted server tells the release behind the name that was asked for
        self._serving = self._serving or event.model
        if event.model != self._serving:
            problem = f"{self._server.base} answered as {self._serving!r} before and as {event.model!r} now"
            raise Misdeployed("model-replaced", f"{problem}: set generator's model=, or restart the workers")

    @asynccontextmanager
    async def _request(self, method: str, path: str, **parts: Any) -> AsyncIterator[Any]:
        """A response whose status is good; every failure until it is closed in the words of the ports."""
        if self._client is None:
            raise Transient(f"the generator at {self._server.base} is not open")
        with self._server.translated():
            async with self._client.stream(method, self._server.base + path, **parts) as response:
                if response.status_code != 200:
                    raise self._refusal(response.status_code, response.headers, await response.aread())
                if is_html(response.headers, b""):
                    raise self._server.nonsense("with a page for people", await response.aread())
                yield response

    def _refusal(self, status: int, headers: Any, body: bytes) -> Exception:
        said = body[:2000].decode(errors="replace")
        if status == 413 or (status in (400, 422) and _exceeds_context(said)):
            return ContextTooLong(said)
        if status == 404 and "model" in said.lower():
            problem = f"{self._server.base} answers 404{self._server.said(body)}"
            return Misdeployed("unknown-model", f"{problem}; change generator's model=", status=status)
        return self._server.refusal(status, headers, body)


def _exceeds_context(said: str) -> bool:
    """How llama.cpp, vLLM, TGI and OpenAI say so; TGI: `inputs` tokens + `max_new_tokens` must be <= ..."""
    return any(word in said.lower() for word in ("context", "must be <=", "input too long", "maximum input length"))


def _number(options: dict[str, str], name: str, default: int) -> int:
    text = options.get(name, str(default))
    if not text.isdecimal() or int(text) < 1:
        raise Poison("bad-url", f"generator: {name}={text!r} is no number from 1 on: write {FORM}")
    return int(text)
