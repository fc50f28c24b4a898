"""A scripted TEI in front of each of the three ports: it opens well, and then fails as it is told."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from processors.backends.tei.ports import TeiEmbedder, TeiReranker, TeiSparseEncoder
from tests.processors.models import passage
from tests.servers.faults import FaultServer, Reply, answer

Port = TeiEmbedder | TeiReranker | TeiSparseEncoder
PATIENCE_S, SILENCE_S = 10.0, 0.5
"""For an answer that comes, and for one that does not."""


def info(kind: str, **more: object) -> dict[str, object]:
    """What /info says of a model; named as the recordings of a real server have it."""
    about = {"id2label": {"0": "LABEL_0"}, "label2id": {"LABEL_0": 0}} if kind == "reranker" else {"pooling": kind}
    return {
        "model_id": "org/model",
        "model_sha": None,
        "model_dtype": "float32",
        "served_model_name": "org/model",
        "model_type": {"reranker" if kind == "reranker" else "embedding": about},
        "max_concurrent_requests": 8,
        "max_input_length": 256,
        "max_batch_tokens": 16384,
        "max_batch_requests": 8,
        "max_client_batch_size": 4,
        "auto_truncate": True,
        "tokenization_workers": 1,
        "version": "1.9.3",
        "sha": None,
        "docker_label": None,
    } | more


@dataclass(frozen=True)
class Kind:
    """One of the three ports, as the fault server plays its server."""

    setting: str
    make: Callable[..., Port]
    pooling: str
    path: str
    probes: int
    """Requests to `path` during `open`."""
    good: Sequence[object]
    """The answer to one text."""
    ask: Callable[[Any], Awaitable[object]]


KINDS = {
    "embedder": Kind(
        "embedder", TeiEmbedder, "mean", "/embed", 2, [[0.6, 0.8]], lambda port: port.embed(["tower"], role="query")
    ),
    "sparse": Kind(
        "sparse",
        TeiSparseEncoder,
        "splade",
        "/embed_sparse",
        2,
        [[{"index": 7, "value": 0.5}]],
        lambda port: port.encode(["tower"], role="query"),
    ),
    "reranker": Kind(
        "reranker",
        TeiReranker,
        "reranker",
        "/rerank",
        1,
        [{"index": 0, "score": 0.5}],
        lambda port: port.rerank("Where is it?", [passage("tower")]),
    ),
}


@asynccontextmanager
async def serving(kind: Kind, *replies: Reply, **tls: Any) -> AsyncIterator[FaultServer]:
    """A server that opens well, and then answers the port's requests with `replies`."""
    fine = [answer(kind.good)] * kind.probes
    async with FaultServer(answer(info(kind.pooling)), **tls) as server:
        yield server.on(kind.path, *fine, *replies)


@asynccontextmanager
async def opened(kind: Kind, url: str, *, wait_s: float = PATIENCE_S, **options: Any) -> AsyncIterator[Port]:
    port = kind.make(f"tei+{url}", answer_timeout_s=wait_s, **options)
    try:
        await port.open()
        yield port
    finally:
        await port.close()


def overloaded(**headers: str) -> Reply:
    return answer({"error": "Model is overloaded", "error_type": "Overloaded"}, 429, **headers)


def failed(error_type: str, message: str = "no", status: int = 424) -> Reply:
    return answer({"error": message, "error_type": error_type}, status)
