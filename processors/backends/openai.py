"""Answers from a language model behind an OpenAI-compatible API: vLLM, llama.cpp, TGI."""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import Any
from urllib.parse import parse_qs, urlsplit

import orjson

from processors.errors import Poison, Transient
from processors.ports import Fragment
from processors.prompts import messages
from schemas import AnswerMode, Passage, Usage

MAX_TOKENS = 128
EVIDENCE_BYTES = 1_600
"""About 400 tokens of English, two chunks: a small model on a CPU reads a few hundred a second before it answers."""
CONNECT_TIMEOUT_S = 5.0
SILENCE_TIMEOUT_S = 60.0
"""Between two pieces of a stream; the first may wait for a free slot of the server."""


class ContextTooLong(Exception):
    """The server refused a prompt because it exceeds the model's context."""


class OpenAIGenerator:
    """Streams chat completions from `openai+http://host:port/v1?model=NAME`.

    `&evidence_bytes=8000` lets a larger model read more of the passages. Where a prompt exceeds the model's context,
    it is sent again with half the evidence. Reasoning that a server reports apart from its answer is not passed on.
    """

    def __init__(self, url: str, key: str = "") -> None:
        parts = urlsplit(url.removeprefix("openai+"))
        options = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        if "@" in parts.netloc:  # messages name the address, and reach callers
            raise Poison(
                "bad-url", f"generator: put the key of {parts.hostname!r} into generator_key, not into the URL"
            )
        self._base = f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"
        self._model = options.get("model", "")
        budget = options.get("evidence_bytes", str(EVIDENCE_BYTES))
        if not self._model or not parts.hostname or not budget.isdecimal() or int(budget) < 1:
            raise Poison("bad-url", f"{url!r}: write openai+http://host:port/v1?model=NAME[&evidence_bytes=NUMBER]")
        self._evidence_bytes = int(budget)
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._client: Any = None

    @property
    def mode(self) -> AnswerMode:
        return "generative"

    @property
    def model(self) -> str:
        return self._model

    async def open(self) -> None:
        import httpx

        if self._client is None:
            timeout = httpx.Timeout(SILENCE_TIMEOUT_S, connect=CONNECT_TIMEOUT_S)
            # An idle connection is dropped before llama.cpp drops it under us.
            limits = httpx.Limits(max_connections=256, keepalive_expiry=2.0)
            # Loading the certificates takes a tenth of a second, for nothing where there is no TLS.
            tls = self._base.startswith("https")
            self._client = httpx.AsyncClient(
                headers=self._headers, timeout=timeout, limits=limits, verify=tls, trust_env=False
            )

    async def close(self) -> None:
        client, self._client = self._client, None
        if client:
            await client.aclose()

    async def check(self) -> str:
        async with self._request("GET", "/models") as response:
            said = await response.aread()
        try:
            served = orjson.loads(said)["data"]
        except (orjson.JSONDecodeError, KeyError, TypeError):
            problem = f"{self._base}/models says {said[:100]!r}: that is no OpenAI-compatible API; correct the URL"
            raise Poison("bad-url", problem) from None
        names = [str(model.get("id")) for model in served]
        # llama.cpp serves one model and answers to any name.
        any_name = any(model.get("owned_by") == "llamacpp" for model in served)
        if names and self._model not in names and not any_name:
            raise Poison("unknown-model", f"{self._base} serves {names}, not {self._model!r}: change the URL's model=")
        return f"{self._model} at {self._base}"

    async def generate(self, question: str, passages: Sequence[Passage]) -> AsyncGenerator[Fragment, None]:
        for share in (1, 2, 4, 8):
            prompt = messages(question, passages, evidence_bytes=self._evidence_bytes // share)
            try:
                async with aclosing(self._stream(prompt)) as fragments:
                    async for fragment in fragments:
                        yield fragment
            except ContextTooLong:
                continue
            return
        raise Poison("prompt-too-long", f"{self._model!r} has too small a context for this question: ask a shorter one")

    async def _stream(self, prompt: list[dict[str, str]]) -> AsyncGenerator[Fragment, None]:
        body = {
            "model": self._model,
            "messages": prompt,
            "max_tokens": MAX_TOKENS,
            "temperature": 0,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        usage, finished = Usage(), False
        async with self._request("POST", "/chat/completions", json=body) as response:
            async for line in response.aiter_lines():
                if not line.startswith("data:"):
                    continue
                data = line.removeprefix("data:").strip()
                if data == "[DONE]":
                    finished = True
                    break
                text, done, counted = _event(data)
                usage, finished = counted or usage, finished or done
                if text:
                    yield Fragment(text=text)
        if not finished:
            raise Transient(f"{self._base} ended its answer in the middle")
        yield Fragment(text="", usage=usage)

    @asynccontextmanager
    async def _request(self, method: str, path: str, **parts: Any) -> AsyncIterator[Any]:
        """A response whose status is good; every failure until it is closed in the words of the ports."""
        import httpx

        if self._client is None:
            raise Transient(f"the generator at {self._base} is not open")
        request = self._client.build_request(method, self._base + path, **parts)
        try:
            try:
                response = await self._client.send(request, stream=True)
            except (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError):
                # The server had closed an idle connection; nothing was answered yet, so a second request is harmless.
                response = await self._client.send(request, stream=True)
            try:
                if response.status_code != 200:
                    raise _refusal(self._base, response.status_code, response.headers, await response.aread())
                yield response
            finally:
                await response.aclose()
        except httpx.TransportError as error:
            raise Transient(f"{self._base} does not answer: {type(error).__name__} {error}") from error


def _refusal(base: str, status: int, headers: Any, body: bytes) -> Exception:
    said = body[:500].decode(errors="replace")
    if status == 400 and "context" in said.lower():
        return ContextTooLong(said)
    if status in (408, 425, 429) or status >= 500:
        wait = headers.get("retry-after", "")
        after = float(wait) if wait.replace(".", "", 1).isdecimal() else None
        return Transient(f"{base} answers {status}: {said}", retry_after_s=after)
    remedy = "check the key" if status in (401, 403) else "check the URL, its model= and the server's log"
    return Poison("generator-refused", f"{base} answers {status}: {said}; {remedy}")


def _event(data: str) -> tuple[str, bool, Usage | None]:
    """Of one server-sent event: the text, whether it is the last, and the usage where it tells."""
    try:
        event = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise Transient(f"the model's server sent {data[:100]!r}, which is not JSON") from error
    if not isinstance(event, dict):
        raise Transient(f"the model's server sent {data[:100]!r}, which is no event")
    if problem := event.get("error"):
        raise Transient(f"the model's server failed in the middle: {str(problem)[:300]}")
    choices = event.get("choices") or [{}]
    text = (choices[0].get("delta") or {}).get("content") or ""
    spent = event.get("usage")
    usage = spent and Usage(
        prompt_tokens=int(spent.get("prompt_tokens") or 0), completion_tokens=int(spent.get("completion_tokens") or 0)
    )
    return text, choices[0].get("finish_reason") is not None, usage or None
