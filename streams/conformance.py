"""The checks that every backend must pass, run against a server of the user's own."""

import statistics
import time
import uuid
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Literal, Protocol, assert_never, get_args, runtime_checkable
from urllib.parse import urlsplit, urlunsplit

from pydantic import SecretStr

from processors.conformance import Outcome, embedder, examine, generator, index, reranker
from processors.conformance.evidence import evidence
from processors.errors import Poison
from processors.ports import Embedder, Generator, Index, Port, Reranker
from schemas import DocumentId, Tenant
from streams.composition import Backends, UnknownBackend
from streams.settings import Settings

PortName = Literal["embedder", "reranker", "generator", "index"]
PORTS: tuple[PortName, ...] = get_args(PortName)
CANDIDATES: Mapping[str, tuple[PortName, ...]] = {
    "tei": ("embedder", "reranker"),
    "triton": ("embedder", "reranker", "generator"),
    "openai": ("generator",),
    "milvus": ("index",),
    "embedded": ("embedder", "reranker"),
}
"""Which ports a scheme may stand for, by its part before the `+`."""
SECRETS: Mapping[PortName, str] = {
    "embedder": "embedder_key",
    "reranker": "reranker_key",
    "generator": "generator_key",
    "index": "index_token",
}
SINGLE_CALLS, ANSWERS = 7, 3
"""One after another, for the median: nobody's server is loaded by that, and answers cost tokens."""

Facts = dict[str, float | int | str]


class NotGuessed(Exception):
    """The URL opens as no port; the message tells what each one said."""


@runtime_checkable
class Disposable(Protocol):
    """An index that can be removed again."""

    async def drop(self) -> None:
        """Delete the index with everything in it."""
        ...


class Subject(ABC):
    """A server as one port: its suite, and what else is worth knowing about it."""

    port: PortName
    backend: Port
    writes = "nothing: the checks only ask"
    """What the checks leave on the server while they run."""
    says = ""
    """The server's line about itself, known once it is open."""

    @abstractmethod
    def outcomes(self) -> AsyncIterator[Outcome]:
        """Run the suite, one check after another."""

    @abstractmethod
    async def measured(self) -> Facts:
        """Names and sizes, and medians of a few single calls in ms."""

    async def clear(self) -> None:  # noqa: B027 - most leave nothing
        """Remove what the checks left on the server."""


class EmbedderSubject(Subject):
    port = "embedder"

    def __init__(self, backend: Embedder) -> None:
        self.backend: Embedder = backend

    def outcomes(self) -> AsyncIterator[Outcome]:
        return examine(embedder.CHECKS, self.backend)

    async def measured(self) -> Facts:
        one = await _median_ms(lambda: self.backend.embed([generator.ASKED], role="query"))
        return {"model": self.backend.model, "dimensions": self.backend.dimensions, "one_text_ms": one}


class RerankerSubject(Subject):
    port = "reranker"

    def __init__(self, backend: Reranker) -> None:
        self.backend: Reranker = backend

    def outcomes(self) -> AsyncIterator[Outcome]:
        return examine(reranker.CHECKS, self.backend)

    async def measured(self) -> Facts:
        return {"three_passages_ms": await _median_ms(lambda: self.backend.rerank(generator.ASKED, evidence()))}


class GeneratorSubject(Subject):
    port = "generator"

    def __init__(self, backend: Generator) -> None:
        self.backend: Generator = backend

    def outcomes(self) -> AsyncIterator[Outcome]:
        return examine(generator.CHECKS, self.backend)

    async def measured(self) -> Facts:
        return {"model": self.backend.model, "first_piece_ms": await _median_ms(self._first_piece, ANSWERS)}

    async def _first_piece(self) -> None:
        fragments = self.backend.generate(generator.ASKED, evidence())
        await anext(fragments)
        await fragments.aclose()


class IndexSubject(Subject):
    port = "index"

    def __init__(self, backend: Index, another: Callable[[], Index], collection: str) -> None:
        self.backend: Index = backend
        self._another = another
        self.writes = f"collections named {collection}..., dropped at the end; no other one is read or written"

    def outcomes(self) -> AsyncIterator[Outcome]:
        return examine(index.CHECKS, index.Connected(self.backend, self._another))

    async def measured(self) -> Facts:
        nobody, nothing = Tenant("contract-nobody"), DocumentId("nothing")
        return {"one_read_ms": await _median_ms(lambda: self.backend.head(nobody, nothing))}

    async def clear(self) -> None:
        if isinstance(self.backend, Disposable):
            await self.backend.drop()


@asynccontextmanager
async def opened(settings: Settings, url: str, port: PortName | None, secret: str) -> AsyncIterator[Subject]:
    """The server at `url` as the first port that it opens as; closed, and what was written is dropped, at the end.

    Raises UnknownBackend, NotGuessed, Transient, and Poison where the port is named.
    """
    refused: dict[PortName, str] = {}
    for name in (port,) if port else candidates(url):
        async with AsyncExitStack() as leaving:
            try:
                subject = _subject(settings, url, name, secret)
                leaving.push_async_callback(subject.backend.close)
                await subject.backend.open()
                subject.says = await subject.backend.check()
            except (Poison, UnknownBackend) as error:
                if port or len(candidates(url)) == 1:
                    raise
                refused[name] = error.detail if isinstance(error, Poison) else str(error)
                continue
            leaving.push_async_callback(subject.clear)
            yield subject
            return
    said = "; ".join(f"as {name}: {detail}" for name, detail in refused.items())
    raise NotGuessed(f"{url!r} opens as no port ({said})")


def candidates(url: str) -> Sequence[PortName]:
    """The ports that a URL's scheme may stand for. Raises UnknownBackend."""
    family = url.partition("://")[0].partition("+")[0]
    if family not in CANDIDATES:
        raise UnknownBackend(f"no backend for {url!r}; the schemes begin with {', '.join(CANDIDATES)}")
    return CANDIDATES[family]


def _subject(settings: Settings, url: str, port: PortName, secret: str) -> Subject:
    """Constructed as the worker would construct it, not yet opened."""
    collection = f"headwater_contract_{uuid.uuid4().hex[:8]}"
    changes: dict[str, object] = {port: _with_collection(url, collection) if port == "index" else url}
    if secret:
        changes[SECRETS[port]] = SecretStr(secret)
    changed = settings.model_copy(update=changes)
    backends = Backends(changed)
    match port:
        case "embedder":
            return EmbedderSubject(backends.embedder)
        case "reranker":
            return RerankerSubject(backends.reranker)
        case "generator":
            return GeneratorSubject(backends.generators["generative"])
        case "index":
            return IndexSubject(backends.index, lambda: Backends(changed).index, collection)
        case _:
            assert_never(port)


def _with_collection(url: str, collection: str) -> str:
    """The same server, database and options, and a collection that nobody else has.

    Searches may not lag: the checks read what they have just written.
    """
    parts = urlsplit(url)
    database = parts.path.rpartition("/")[0]
    options = [option for option in parts.query.split("&") if option and not option.startswith("staleness_s=")]
    query = "&".join([*options, "staleness_s=0"])
    return urlunsplit(parts._replace(path=f"{database}/{collection}", query=query))


async def _median_ms(call: Callable[[], Awaitable[object]], calls: int = SINGLE_CALLS) -> float:
    taken = []
    for _ in range(calls):
        started = time.perf_counter()
        await call()
        taken.append(1e3 * (time.perf_counter() - started))
    return round(statistics.median(taken), 1)
