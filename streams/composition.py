"""The composition root: settings in, collaborators out. Only this module imports backends."""

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar

from pydantic import SecretStr

from processors.index_plan import Provisioner
from processors.ports import Embedder, Generator, Index, ObjectStore, Parser, Port, Reranker, SparseEncoder
from schemas import AnswerMode
from streams.pools.addresses import names_many
from streams.pools.health import Health
from streams.pools.pool import Pool, Surroundings
from streams.pools.ports import PooledEmbedder, PooledGenerator, PooledReranker
from streams.pools.states import Board
from streams.runtime.clock import SystemClock
from streams.settings import PooledPort, Settings

if TYPE_CHECKING:
    from processors.backends.embedded.sentence_vectors import SentenceVectors

P = TypeVar("P")
Pooled = TypeVar("Pooled", bound=Port)

PARSERS = ("embedded://unstructured", "embedded://unstructured?pdf=hires")
RERANKERS = ("embedded://minilm",)


class UnknownBackend(ValueError):
    """A port's URL names no backend; the message lists those that exist."""


class Backends:
    """A backend for each port, by the scheme of its URL; constructed on first use, not yet opened."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    @cached_property
    def parser(self) -> Parser:
        def embedded(url: str) -> Parser:
            from processors.backends.documents.parser import DocumentParser

            _check("parser", url, PARSERS)
            return DocumentParser(url)

        return _backend("parser", self.settings.parser, {"embedded": embedded})

    @cached_property
    def objects(self) -> ObjectStore:
        def stored(url: str) -> ObjectStore:
            from processors.backends.objects import UrlObjectStore

            return UrlObjectStore(url)

        schemes = dict.fromkeys(("file", "s3", "gs", "az", "memory"), stored)
        return _backend("objects", self.settings.objects_url, schemes)

    @cached_property
    def embedder(self) -> Embedder:
        def embedded(url: str) -> Embedder:
            from processors.backends.embedded.onnx import OnnxEmbedder

            return OnnxEmbedder(url, cache=self.settings.home / "models")

        def tei(url: str) -> Embedder:
            from processors.backends.tei.ports import TeiEmbedder

            return TeiEmbedder(url, key=_clear(self.settings.embedder_key), ca_file=self.settings.ca_file)

        def triton(url: str) -> Embedder:
            from processors.backends.triton.models import TritonEmbedder

            return TritonEmbedder(url, key=_clear(self.settings.embedder_key), ca_file=self.settings.ca_file)

        schemes = {"embedded": embedded, **_with_tls("tei+http", tei), **_with_tls("triton+grpc", triton)}
        return self._instances("embedder", schemes, PooledEmbedder)

    @cached_property
    def sparse(self) -> SparseEncoder | None:
        def tei(url: str) -> SparseEncoder:
            from processors.backends.tei.ports import TeiSparseEncoder

            return TeiSparseEncoder(url, key=_clear(self.settings.sparse_key), ca_file=self.settings.ca_file)

        url = self.settings.sparse
        return _backend("sparse", url, _with_tls("tei+http", tei)) if url else None

    @cached_property
    def index(self) -> Index:
        def milvus(url: str) -> Index:
            from processors.backends.milvus.index import MilvusIndex

            return MilvusIndex(
                url,
                token=_clear(self.settings.index_token),
                ca_file=self.settings.ca_file,
                encoder=self.sparse,
                expected=self.settings.index_expected,
            )

        return _backend("index", self.settings.index_url, _with_tls("milvus+http", milvus))

    @cached_property
    def provisioner(self) -> Provisioner:
        """Of what the index lives in."""

        def milvus(url: str) -> Provisioner:
            from processors.backends.milvus.provisioning import MilvusProvisioner

            token = _clear(self.settings.index_token)
            return MilvusProvisioner(url, token=token, ca_file=self.settings.ca_file, encoder=self.sparse)

        return _backend("index", self.settings.index_url, _with_tls("milvus+http", milvus))

    @cached_property
    def reranker(self) -> Reranker:
        def embedded(url: str) -> Reranker:
            from processors.backends.embedded.sentences import SentenceReranker

            _check("reranker", url, RERANKERS)
            return SentenceReranker(self._sentence_vectors)

        def tei(url: str) -> Reranker:
            from processors.backends.tei.ports import TeiReranker

            return TeiReranker(url, key=_clear(self.settings.reranker_key), ca_file=self.settings.ca_file)

        def triton(url: str) -> Reranker:
            from processors.backends.triton.models import TritonReranker

            return TritonReranker(url, key=_clear(self.settings.reranker_key), ca_file=self.settings.ca_file)

        schemes = {"embedded": embedded, **_with_tls("tei+http", tei), **_with_tls("triton+grpc", triton)}
        return self._instances("reranker", schemes, PooledReranker)

    @cached_property
    def _sentence_vectors(self) -> "SentenceVectors":
        from processors.backends.embedded.sentence_vectors import SentenceVectors

        return SentenceVectors(self.embedder)

    @cached_property
    def generators(self) -> dict[AnswerMode, Generator]:
        def openai(url: str) -> Generator:
            from processors.backends.openai.generator import OpenAIGenerator

            return OpenAIGenerator(url, key=_clear(self.settings.generator_key), ca_file=self.settings.ca_file)

        def triton(url: str) -> Generator:
            from processors.backends.triton.generator import TritonGenerator

            return TritonGenerator(url, key=_clear(self.settings.generator_key), ca_file=self.settings.ca_file)

        from processors.backends.embedded.sentences import SentenceExtractor

        schemes = {**_with_tls("openai+http", openai), **_with_tls("triton+grpc", triton)}
        return {
            "extractive": SentenceExtractor(self._sentence_vectors),
            "generative": self._instances("generator", schemes, PooledGenerator),
        }

    def _instances(
        self, port: PooledPort, schemes: Mapping[str, Callable[[str], Pooled]], pooled: Callable[[Pool[Pooled]], Pooled]
    ) -> Pooled:
        """The one instance that the settings name, or a pool of them."""

        def build(url: str) -> Pooled:
            return _backend(port, url, schemes)

        named = self.settings.instances(port)
        if len(named) == 1 and not names_many(named[0].url):
            return build(named[0].url)
        return pooled(Pool(port, named, build, self._surroundings))

    @cached_property
    def _surroundings(self) -> Surroundings:
        home, clock = self.settings.home.resolve(), SystemClock()
        return Surroundings(clock=clock, board=Board(home), health=Health(home, clock))


def _clear(secret: SecretStr | None) -> str:
    return secret.get_secret_value() if secret else ""


def _with_tls(scheme: str, build: Callable[[str], P]) -> dict[str, Callable[[str], P]]:
    """A scheme and its form over TLS: `tei+http` and `tei+https`."""
    return {scheme: build, f"{scheme}s": build}


def _backend(port: str, url: str, schemes: Mapping[str, Callable[[str], P]]) -> P:
    scheme = url.partition("://")[0]
    if scheme not in schemes:
        raise UnknownBackend(f"{port}: no backend for {url!r}; known: {', '.join(f'{name}://' for name in schemes)}")
    return schemes[scheme](url)


def _check(port: str, url: str, known: Sequence[str]) -> None:
    """Embedded backends without further options are known by their whole URL."""
    if url not in known:
        raise UnknownBackend(f"{port}: no backend for {url!r}; known: {', '.join(known)}")
