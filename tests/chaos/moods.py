"""Moods: a good server that for a while answers with refusals, nonsense, too little, or not at all."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from random import Random
from typing import Any

import httpx
import orjson

from tests.servers.faults import (
    HANG,
    FaultServer,
    Reply,
    Request,
    Responder,
    Step,
    answer,
    busy,
    cut_json,
    event,
    hang_amid,
    html,
    stream,
    truncated,
)
from tests.servers.tei.process import tei

Mood = Callable[[Request, Reply], Reply]
"""What becomes of the good reply to a request."""
MODEL_PATHS = ("/embed", "/rerank")
WORDS = ("The ", "water ", "stands ", "at ", "the ", "mill, ", "and ", "the ", "barge ", "waits.")
SERVED = "reader"
"""The name of the language model."""

ANY: Mapping[str, Mood] = {
    "429": lambda _request, _good: busy(retry_after="1"),
    "503": lambda _request, _good: busy(503),
    "HTML": lambda _request, _good: html(),
    "hang": lambda _request, _good: HANG,
}


def _spoilt(spoil: Callable[[Any], object]) -> Mood:
    """Another list in a good envelope; other answers than the model's stay good."""

    def mood(request: Request, good: Reply) -> Reply:
        return answer(spoil(orjson.loads(_body(good)))) if request.path in MODEL_PATHS else good

    return mood


TEI: Mapping[str, Mood] = {
    **ANY,
    "truncated JSON": lambda _request, good: cut_json(_body(good)),
    "too few": _spoilt(lambda rows: rows[:-1]),
    "hung up amid": lambda _request, good: truncated(_body(good)),
    "hang amid": lambda _request, good: hang_amid(_body(good)),
    "reset amid": lambda _request, good: (*truncated(_body(good))[:1], Step.RESET),
}
EMBEDDER: Mapping[str, Mood] = {
    **TEI,
    "wrong dimension": _spoilt(lambda rows: [row[:-1] for row in rows]),
    "NaN": _spoilt(lambda rows: [[None, *row[1:]] for row in rows]),  # as TEI writes it
}
RERANKER: Mapping[str, Mood] = {**TEI, "NaN": _spoilt(lambda rows: [{**row, "score": None} for row in rows])}


def _chunk(text: str, **more: object) -> bytes:
    return event({"model": SERVED, "choices": [{"delta": {"content": text}, **more}]})


BEGUN = tuple(map(_chunk, WORDS[:4]))
LANGUAGE_MODEL: Mapping[str, Mood] = {
    **ANY,
    "truncated JSON": lambda _request, _good: stream(*BEGUN, b'data: {"choices": [{"de\n\n'),
    "hung up mid-stream": lambda _request, _good: stream(*BEGUN, end=False),
    "hang mid-stream": lambda _request, _good: stream(*BEGUN, Step.WAIT),
    "reset mid-stream": lambda _request, _good: stream(*BEGUN, Step.RESET),
}


async def language_model(request: Request) -> Reply:
    """What an OpenAI-compatible server says that has one sentence for every question."""
    if request.method == "GET":
        return answer({"data": [{"id": SERVED}]})
    usage = event({"model": SERVED, "choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": len(WORDS)}})
    return stream(*map(_chunk, WORDS), _chunk("", finish_reason="stop"), usage, event("[DONE]"))


async def reranker(request: Request) -> Reply:
    """What text-embeddings-inference says that holds a passage for good where it has the question's words."""
    if request.path == "/info":
        limits = {"max_client_batch_size": 32, "max_concurrent_requests": 512, "max_input_length": 512}
        return answer({"model_id": "words", "model_type": {"reranker": {}}, "version": "1.9.3", **limits})
    asked: Any = request.json()
    words = set(asked["query"].split())
    shares = (len(words & set(text.split())) / len(words) for text in asked["texts"])
    return answer([{"index": index, "score": share} for index, share in enumerate(shares)])


@dataclass(slots=True)
class Moody:
    """A server that answers well but while it is in a mood."""

    name: str
    url: str
    moods: Mapping[str, Mood]
    mood: str = ""
    """One of its `moods`; empty: it answers well."""
    share: float = 1.0
    """Of the answers that the mood spoils."""
    spoilt: int = 0
    """Answers so far."""

    def responder(self, good: Responder, random: Random) -> Responder:
        async def respond(request: Request) -> Reply:
            reply = await good(request)
            mood = self.moods.get(self.mood)
            if mood is None or random.random() >= self.share:
                return reply
            changed = mood(request, reply)
            self.spoilt += changed is not reply
            return changed

        return respond


@asynccontextmanager
async def moody(name: str, good: Responder, moods: Mapping[str, Mood]) -> AsyncIterator[Moody]:
    """A server on a free port in front of `good`."""
    async with FaultServer() as server:
        served = Moody(name, server.url, moods)
        server.on("*", served.responder(good, Random(name)))
        yield served


@asynccontextmanager
async def embedding() -> AsyncIterator[Responder]:
    """The answers of a stand-in for text-embeddings-inference, which has a real model."""
    with tei() as server:
        async with httpx.AsyncClient(base_url=server.url, timeout=60) as client:
            yield _forwarded(client)


def _forwarded(client: httpx.AsyncClient) -> Responder:
    async def respond(request: Request) -> Reply:
        headers = {"content-type": request.headers.get("content-type", "application/json")}
        said = await client.request(request.method, request.path, content=request.body, headers=headers)
        return answer(said.content, said.status_code, said.headers.get("content-type", "text/plain"))

    return respond


def _body(good: Reply) -> bytes:
    return b"".join(piece for piece in good if isinstance(piece, bytes)).partition(b"\r\n\r\n")[2]
