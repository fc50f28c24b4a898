"""A language model for Triton's models to speak with: a llama.cpp server."""

import asyncio
import json
import threading
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import triton_python_backend_utils as triton

from tests.servers.triton.models.tensors import given

LOOK_S = 0.05
"""How often a request is asked whether its caller has gone."""


class Refused(Exception):
    """What the language model said to a request that it does not take."""


class Llama:
    """The server that a model's configuration names."""

    def __init__(self, args: Mapping[str, str]) -> None:
        host, _, port = json.loads(args["model_config"])["parameters"]["llama"]["string_value"].partition(":")
        self._address = host, int(port)

    async def complete(self, prompt: str | list[int], *, max_tokens: int, **sampling: float) -> AsyncIterator[Any]:
        """Its events, one for each token; leaving early hangs up, which frees the slot."""
        body = {"prompt": prompt, "n_predict": max_tokens, **sampling}
        async with self._post("/completion", body | {"stream": True, "return_tokens": True}) as answer:
            async for line in answer:
                if line.startswith(b"data:"):
                    yield json.loads(line.removeprefix(b"data:"))

    async def call(self, path: str, body: Mapping[str, Any]) -> Any:
        async with self._post(path, body) as answer:
            return json.loads(await answer.read())

    @asynccontextmanager
    async def _post(self, path: str, body: Mapping[str, Any]) -> AsyncIterator[asyncio.StreamReader]:
        reader, writer = await asyncio.open_connection(*self._address, limit=1 << 24)
        try:
            data = json.dumps(body).encode()
            head = f"POST {path} HTTP/1.1\r\nHost: llama\r\nConnection: close\r\nContent-Type: application/json\r\n"
            writer.write(f"{head}Content-Length: {len(data)}\r\n\r\n".encode() + data)
            answered = await reader.readuntil(b"\r\n\r\n")
            if b" 200 " not in answered.partition(b"\r\n")[0]:
                raise Refused((await reader.read()).decode())
            yield reader
        finally:
            writer.close()


class Background:
    """An event loop in a thread, which is how a model does several things at once."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, daemon=True).start()

    def start(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop)

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)


class Streaming(ABC):
    """A decoupled model: each request has a task, which ends when the caller goes, or by a request to `stop` its id."""

    def initialize(self, args: dict[str, str]) -> None:
        self.llama = Llama(args)
        self._background = Background()
        self._answering: dict[str, asyncio.Task[None]] = {}

    def execute(self, requests: list[Any]) -> None:
        for request in requests:
            self._background.start(self._serve(request))

    def finalize(self) -> None:
        self._background.stop()

    @abstractmethod
    def answer(self, request: Any) -> AsyncIterator[list[Any]]:
        """The output tensors of one response after the other."""

    async def _serve(self, request: Any) -> None:
        sender = request.get_response_sender()
        end: dict[str, Any] = {"flags": triton.TRITONSERVER_RESPONSE_COMPLETE_FINAL}
        if given(request, "stop", False):
            if stopped := self._answering.get(request.request_id()):
                stopped.cancel()
            sender.send(**end)
            return
        answering = asyncio.create_task(self._send(request, sender))
        self._answering[request.request_id()] = answering
        while not answering.done():
            if sender.is_cancelled():
                answering.cancel()
            await asyncio.wait([answering], timeout=LOOK_S)
        del self._answering[request.request_id()]
        if answering.cancelled():
            error = triton.TritonError("Request was cancelled", triton.TritonError.CANCELLED)
            sender.send(triton.InferenceResponse(error=error), **end)
        elif failure := answering.exception():
            error = triton.TritonError(f"Error generating stream: {failure}")
            sender.send(triton.InferenceResponse(error=error), **end)

    async def _send(self, request: Any, sender: Any) -> None:
        """Each response one step late, for the last carries the final flag."""
        last = None
        answers = self.answer(request)
        try:
            async for tensors in answers:
                if last is not None:
                    sender.send(last)
                last = triton.InferenceResponse(tensors)
        finally:
            await answers.aclose()  # type: ignore[attr-defined]
        sender.send(last, flags=triton.TRITONSERVER_RESPONSE_COMPLETE_FINAL)
