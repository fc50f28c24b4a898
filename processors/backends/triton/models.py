"""Vectors and scores from plain models on Triton servers."""

import asyncio
import hashlib
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from processors.backends.http import Misdeployed, at_start
from processors.backends.triton.client import ANSWER_TIMEOUT_S, TritonModel
from processors.backends.triton.errors import ModelFailed
from processors.backends.triton.served import Served
from processors.backends.triton.texts import number_output, rows, text_inputs
from processors.backends.triton.url import TritonUrl
from processors.errors import Poison
from processors.ports import Role, Vectors
from schemas import Passage

NEUTRAL = "The model is asked whether it works."
"""Tells a model that fails from a text that makes it fail."""
ALONE_AFTER_S = (0.02, 0.1, 0.5)
"""Upper bounds of the waits before a text is tried by itself."""
VERIFY_S = 10.0
"""How long a model is believed to be the same."""
ROLES: tuple[Role, ...] = ("query", "passage")

Rows = NDArray[np.float32]
Ask = Callable[[Sequence[str]], Awaitable[Rows]]


class TritonEmbedder:
    """Vectors from `triton+grpc(s)://host:port/model`, a model that takes texts and gives FP32 vectors.

    Its configuration's parameter `fingerprint` names its weights; without it, name and version do.
    `?query_prefix=query:%20&passage_prefix=passage:%20` gives words to put before each text.
    """

    def __init__(
        self, url: str, *, key: str = "", ca_file: Path | None = None, answer_timeout_s: float = ANSWER_TIMEOUT_S
    ) -> None:
        known = [f"{role}_prefix" for role in ROLES]
        where, self._prefixes = TritonUrl.parse(url, setting="embedder", known=known)
        self._triton = TritonModel(where, key=key, ca_file=ca_file, answer_timeout_s=answer_timeout_s)
        self._version = self._model = ""
        self._dimensions = 0
        self._verified = 0.0

    @property
    def model(self) -> str:
        return self._model

    @property
    def dimensions(self) -> int:
        return self._dimensions

    async def open(self) -> None:
        served = await self._triton.open()
        [self._text] = text_inputs(served, 1)
        self._output = number_output(served, ("embedding", "embeddings", "sentence_embedding"))
        self._version = served.version
        self._model = _fingerprint(served, self._version, self._prefixes)
        self._verified = time.monotonic()
        with at_start():
            self._dimensions = (await self._vectors([NEUTRAL], 0)).shape[1]

    async def close(self) -> None:
        await self._triton.close()

    async def check(self) -> str:
        with at_start():
            await self._triton.ready()
        return f"{self._model}, {self._dimensions} dimensions, at {self._triton.url}"

    async def healthy(self) -> None:
        await self._triton.ready()

    async def embed(self, texts: Sequence[str], *, role: Role) -> Vectors:
        for place, text in enumerate(texts):
            if not text.strip():
                raise Poison("empty-text", f"text {place} of {len(texts)} is blank: there is nothing to embed")
        prefix = self._prefixes.get(f"{role}_prefix", "")
        ready = [_utf8(prefix + text) for text in texts]

        async def ask(some: Sequence[str]) -> Vectors:
            return await self._vectors(some, self._dimensions)

        await self._verify()
        found = await _each(ready, ask, most=self._text.most, works=lambda: ask([NEUTRAL]))
        return np.concatenate(found) if found else np.empty((0, self._dimensions), np.float32)

    async def _verify(self) -> None:
        """Raise where the same version was loaded again with other weights, as far as its fingerprint tells."""
        if not self._model or time.monotonic() - self._verified < VERIFY_S:
            return
        served = await self._triton.describe(self._triton.url.model, version=self._version)
        if (found := _fingerprint(served, self._version, self._prefixes)) != self._model:
            problem = f"{self._triton.url} now serves {found!r} in place of {self._model!r}"
            raise Misdeployed("model-replaced", f"{problem}; put it back, or start the workers anew")
        self._verified = time.monotonic()

    async def _vectors(self, texts: Sequence[str], dimensions: int) -> Vectors:
        # Only this version: a newer one may have other weights, and its vectors must not mix with these.
        inputs = {self._text.name: self._text.column(texts)}
        answer = await self._triton.infer(inputs, [self._output], version=self._version)
        vectors = rows(self._triton.url, answer, self._output, len(texts), width=dimensions)
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        if not norms.all():
            raise ModelFailed(f"{self._triton.url} gave a vector of zeros; see the server's log")
        return np.asarray(vectors / norms, np.float32)


class TritonReranker:
    """Scores from `triton+grpc(s)://host:port/model`, a model that takes a question and a text per row.

    An output that is named `logits` is squeezed into [0, 1]; any other must lie there.
    """

    def __init__(
        self, url: str, *, key: str = "", ca_file: Path | None = None, answer_timeout_s: float = ANSWER_TIMEOUT_S
    ) -> None:
        where, _ = TritonUrl.parse(url, setting="reranker")
        self._triton = TritonModel(where, key=key, ca_file=ca_file, answer_timeout_s=answer_timeout_s)
        self._model = ""

    @property
    def model(self) -> str:
        """Fingerprint, known after `open`; the instances of a pool must agree in it."""
        return self._model

    async def open(self) -> None:
        served = await self._triton.open()
        self._question, self._text = text_inputs(served, 2)
        self._output = number_output(served, ("score", "scores", "logits"))
        self._model = _fingerprint(served, served.version, {})
        with at_start():
            await self._scores(NEUTRAL, [NEUTRAL])

    async def close(self) -> None:
        await self._triton.close()

    async def check(self) -> str:
        with at_start():
            await self._triton.ready()
        return f"{self._model} at {self._triton.url}"

    async def healthy(self) -> None:
        await self._triton.ready()

    async def rerank(self, question: str, passages: Sequence[Passage]) -> Sequence[float]:
        asked = _utf8(question)
        texts = [_utf8(passage.text) for passage in passages]

        async def ask(some: Sequence[str]) -> Rows:
            return await self._scores(asked, some)

        async def works() -> object:
            return await self._scores(NEUTRAL, [NEUTRAL])

        found = await _each(texts, ask, most=self._text.most, works=works)
        return [float(score) for scores in found for score in scores]

    async def _scores(self, question: str, texts: Sequence[str]) -> Rows:
        inputs = {
            self._question.name: self._question.column([question] * len(texts)),
            self._text.name: self._text.column(texts),
        }
        answer = await self._triton.infer(inputs, [self._output])
        scores = rows(self._triton.url, answer, self._output, len(texts), width=1)[:, 0]
        if "logit" in self._output.lower():
            return np.asarray(1 / (1 + np.exp(-scores.astype(np.float64))), np.float32)
        if ((scores < 0) | (scores > 1)).any():
            problem = f"{self._triton.url} gave a {self._output!r} outside [0, 1]"
            raise Misdeployed("bad-answer", f"{problem}; name the output logits where it is no probability")
        return scores


async def _each(texts: Sequence[str], ask: Ask, *, most: int, works: Callable[[], Awaitable[object]]) -> list[Rows]:
    """The rows of all texts, asked for in batches; where one fails, one by one, to tell whose fault it is."""
    found: list[Rows] = []
    for start in range(0, len(texts), most):
        batch = texts[start : start + most]
        try:
            found.append(await ask(batch))
        except ModelFailed:
            for place, text in enumerate(batch, start):
                found.append(await _alone(text, ask, works, name=f"text {place} of {len(texts)}"))
    return found


async def _alone(text: str, ask: Ask, works: Callable[[], Awaitable[object]], *, name: str) -> Rows:
    """The row of a text that was in a batch that failed. Poison where only this text fails, again and again.

    Once proves nothing: Triton batches requests of several callers, and a text of theirs fails them all. So the
    moments differ.
    """
    problem = ""
    for wait_s in ALONE_AFTER_S:
        await asyncio.sleep(random.uniform(0, wait_s))  # noqa: S311 - any moment will do
        try:
            return await ask([text])
        except ModelFailed as error:
            problem = error.reason
        await works()  # where this fails as well, it is the model's fault, and the work waits
    raise Poison("model-failed", f"{name}: {problem}; it takes other texts, and never this one: leave it out")


def _fingerprint(served: Served, version: str, prefixes: dict[str, str]) -> str:
    name = served.parameters.get("fingerprint") or f"triton/{served.name}:{version}"
    if not prefixes:
        return name
    return f"{name}/{hashlib.blake2b(repr(sorted(prefixes.items())).encode(), digest_size=3).hexdigest()}"


def _utf8(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise Poison("bad-text", "a text cannot be written as UTF-8: remove its lone surrogates") from error
    return text
