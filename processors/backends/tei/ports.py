"""Vectors, word weights and scores from text-embeddings-inference servers."""

import hashlib
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import orjson

from processors.backends.http import HttpServer, at_start
from processors.backends.tei.lists import NEUTRAL, Ask, TeiLists
from processors.backends.tei.server import ANSWER_TIMEOUT_S, Failed, Kind, TeiServer
from processors.errors import Poison
from processors.ports import Role, Vectors
from schemas import Passage

PROMPTS = ("query_prompt_name", "passage_prompt_name", "query_prefix", "passage_prefix")
"""What may stand in front of a text: a prompt of the model's own by its name, and words by themselves."""
ROLES: tuple[Role, ...] = ("query", "passage")
UNIT = 0.02
"""How far a normalised vector's length may be from 1: float16 is off by 0.001."""


class _Tei:
    """What the three have in common."""

    def __init__(
        self, url: str, *, key: str = "", ca_file: Path | None = None, answer_timeout_s: float = ANSWER_TIMEOUT_S
    ) -> None:
        http, self._options = HttpServer.parse(url, setting=self._setting, known=self._known, key=key, ca_file=ca_file)
        self._server = TeiServer(http, kind=self._kind, answer_timeout_s=answer_timeout_s)
        self._lists = TeiLists(self._server)

    _setting: ClassVar[str]
    _kind: ClassVar[Kind]
    _known: ClassVar[Sequence[str]] = PROMPTS
    _model = ""

    @property
    def model(self) -> str:
        """Fingerprint, known after `open`; the instances of a pool must agree in it."""
        return self._model

    @property
    def truncated(self) -> int:
        return self._lists.spent.truncated

    async def close(self) -> None:
        await self._server.close()

    async def check(self) -> str:
        with at_start():
            await self._server.verify(now=True)
        return (
            f"{self._served()} at {self._server.about()}; {self._lists.spent} at {self._server.info.max_tokens} tokens"
        )

    async def healthy(self) -> None:
        await self._server.healthy()

    def _served(self) -> str:
        return self._model

    def _prompted(self, texts: Sequence[str], role: Role) -> list[str]:
        for place, text in enumerate(texts):
            if not text.strip():
                raise Poison("empty-text", f"text {place} of {len(texts)} is blank: there is nothing to embed")
        _check_encoding(texts)
        prefix = self._options.get(f"{role}_prefix", "")
        return [prefix + text for text in texts]

    def _numbers(self, found: Sequence[object]) -> Sequence[float]:
        """Raises Failed where one of them is null or not finite, and Transient where one is something else."""
        numbers = [float(each) for each in found if isinstance(each, (int, float))]
        if len(numbers) + sum(each is None for each in found) < len(found):
            raise self._server.nonsense("with something that is no number", orjson.dumps(found))
        if len(numbers) < len(found) or not all(map(math.isfinite, numbers)):
            raise Failed("it gave null, or a number that is not finite")
        return numbers


class TeiEmbedder(_Tei):
    """Vectors from `tei+http(s)://host:port`.

    `?query_prompt_name=query&passage_prompt_name=passage` names prompts that the model brings,
    `?query_prefix=query:%20&passage_prefix=passage:%20` gives words to put before each text. Texts over the model's
    longest input are cut there, and counted in `truncated`.
    """

    _setting, _kind = "embedder", "embedding"
    _dimensions = 0

    @property
    def dimensions(self) -> int:
        return self._dimensions

    async def open(self) -> None:
        with at_start():
            await self._server.open()
            for role in ROLES:
                self._dimensions = (await self._lists.probe(self._ask(role))).shape[0]
        self._model = self._server.info.fingerprint
        if self._options:  # vectors of other prompts are other vectors
            prompts = orjson.dumps(sorted(self._options.items()))
            self._model += f"/{hashlib.blake2b(prompts, digest_size=3).hexdigest()}"

    async def embed(self, texts: Sequence[str], *, role: Role) -> Vectors:
        if not texts:
            return np.empty((0, self._dimensions), np.float32)
        rows = await self._lists.rows(self._ask(role), self._prompted(texts, role))
        return np.stack(rows)

    def _served(self) -> str:
        return f"{self.model}, {self._dimensions} dimensions,"

    def _ask(self, role: Role) -> Ask[Vectors]:
        return Ask(
            path="/embed",
            member="inputs",
            fields={"normalize": True},
            prompt_name=self._options.get(f"{role}_prompt_name", ""),
            read=self._vectors,
            ahead=role == "query",
        )

    def _vectors(self, answer: Any, texts: int, /) -> Sequence[Vectors]:
        try:
            rows = np.asarray(answer, np.float32)  # null becomes NaN
        except (TypeError, ValueError):  # words, or lists of different lengths
            rows = np.empty(0, np.float32)
        if rows.ndim != 2 or len(rows) != texts or self._dimensions not in (0, rows.shape[1]):
            expected = f"{texts} vectors" + f" of {self._dimensions} dimensions" * (self._dimensions > 0)
            raise self._server.nonsense(f"/embed gave something other than {expected}", orjson.dumps(answer))
        lengths = np.linalg.norm(rows, axis=1, keepdims=True)
        if not (np.isfinite(lengths).all() and lengths.all()):
            raise Failed("it gave a vector with null or a number that is not finite, or one of zeros")
        if np.abs(lengths - 1).max() > UNIT:
            raise self._server.nonsense("/embed gave vectors that are not normalised, though asked to")
        return list(rows / lengths)


class TeiSparseEncoder(_Tei):
    """Weights of terms from a SPLADE model at `tei+http(s)://host:port`, with prompts as TeiEmbedder has them."""

    _setting, _kind = "sparse", "sparse embedding"

    async def open(self) -> None:
        with at_start():
            await self._server.open()
            for role in ROLES:
                await self._lists.probe(self._ask(role))
        self._model = self._server.info.fingerprint

    async def encode(self, texts: Sequence[str], *, role: Role) -> Sequence[Mapping[int, float]]:
        return await self._lists.rows(self._ask(role), self._prompted(texts, role)) if texts else []

    def _ask(self, role: Role) -> Ask[Mapping[int, float]]:
        return Ask(
            path="/embed_sparse",
            member="inputs",
            fields={},
            prompt_name=self._options.get(f"{role}_prompt_name", ""),
            read=self._weights,
            ahead=role == "query",
        )

    def _weights(self, answer: Any, texts: int, /) -> Sequence[Mapping[int, float]]:
        try:
            rows = [[(int(term["index"]), term["value"]) for term in row] for row in answer]
        except (KeyError, TypeError, ValueError):
            rows = []
        if len(rows) != texts:
            problem = f"/embed_sparse gave something other than the terms of {texts} texts"
            raise self._server.nonsense(problem, orjson.dumps(answer))
        self._numbers([value for row in rows for _, value in row])
        return [{term: float(weight) for term, weight in row if weight > 0} for row in rows]


class TeiReranker(_Tei):
    """The probability that a passage answers a question, from a cross-encoder at `tei+http(s)://host:port`.

    Where question and passage exceed the model's longest input together, the longer one is cut, and the passage counts
    in `truncated`.
    """

    _setting, _kind, _known = "reranker", "reranker", ()

    async def open(self) -> None:
        with at_start():
            await self._server.open()
            await self._lists.probe(self._ask(NEUTRAL))
        self._model = self._server.info.fingerprint

    async def rerank(self, question: str, passages: Sequence[Passage]) -> Sequence[float]:
        texts = [passage.text for passage in passages]
        _check_encoding([question, *texts])
        return await self._lists.rows(self._ask(question), texts) if texts else []

    def _ask(self, question: str) -> Ask[float]:
        return Ask(
            path="/rerank",
            member="texts",
            fields={"raw_scores": False, "return_text": False},
            question=question,
            read=self._scores,
            ahead=True,
        )

    def _scores(self, answer: Any, texts: int, /) -> Sequence[float]:
        try:
            scores = {int(rank["index"]): rank["score"] for rank in answer}
        except (KeyError, TypeError, ValueError):
            scores = {}
        if sorted(scores) != list(range(texts)) or len(answer) != texts:
            raise self._server.nonsense(f"/rerank gave something other than {texts} scores", orjson.dumps(answer))
        ordered = self._numbers([scores[place] for place in range(texts)])
        if min(ordered) < 0 or max(ordered) > 1:
            raise self._server.nonsense("/rerank gave scores beyond [0, 1], though not asked for raw ones")
        return ordered


def _check_encoding(texts: Sequence[str]) -> None:
    try:
        for text in texts:
            text.encode()
    except UnicodeEncodeError as error:
        raise Poison("bad-text", "a text cannot be written as UTF-8: remove its lone surrogates") from error
