"""A request's texts through permits, tokenizer and model, and what they took."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Literal

from tests.servers.tei.encoding import Encoder, Encoding, Input, Side
from tests.servers.tei.engine import Computed, Engine
from tests.servers.tei.flags import Flags
from tests.servers.tei.model import Floats, MiniLm
from tests.servers.tei.refusals import Refusal, empty, too_many, wrong_model

Kind = Literal["embedding", "sparse", "pairs"]
WRONG_MODEL = {
    "embedding": "Model is not an embedding model",
    "sparse": "Model is not an embedding model with SPLADE pooling",
    "pairs": "Model is not a classifier model",
}


@dataclass(slots=True)
class Spent:
    """The figures of the x- headers."""

    started: float = field(default_factory=time.perf_counter)
    characters: int = 0
    tokens: int = 0
    tokenization_s: list[float] = field(default_factory=list)
    queued_s: list[float] = field(default_factory=list)
    inference_s: list[float] = field(default_factory=list)

    def headers(self) -> dict[str, str]:
        total = _ms(time.perf_counter() - self.started)
        return {
            "x-compute-type": "gpu+optimized",
            "x-compute-time": total,
            "x-compute-characters": str(self.characters),
            "x-compute-tokens": str(self.tokens),
            "x-total-time": total,
            "x-tokenization-time": _mean_ms(self.tokenization_s),
            "x-queue-time": _mean_ms(self.queued_s),
            "x-inference-time": _mean_ms(self.inference_s),
        }


@dataclass(frozen=True, slots=True)
class Parameters:
    """How the texts of one request are read."""

    truncate: bool | None = None
    side: str = "right"
    prompt_name: str | None = None


@dataclass(frozen=True, slots=True)
class Work:
    """What all endpoints share."""

    flags: Flags
    model: MiniLm
    encoder: Encoder
    engine: Engine

    @property
    def kind(self) -> Kind:
        match self.flags.model:
            case "minilm" | "minilm-prompts":
                return "embedding"
            case "minilm-sparse":
                return "sparse"
            case "minilm-reranker" | "minilm-classifier":
                return "pairs"

    def count(self, name: str, label: str = "") -> None:
        self.engine.counts[f"{name}{{{label}}}" if label else name] += 1

    def require(self, kind: Kind) -> None:
        if self.kind != kind:
            raise wrong_model(WRONG_MODEL[kind])

    @asynccontextmanager
    async def counted(self, *, batch: bool) -> AsyncIterator[None]:
        label = 'method="batch"' if batch else 'method="single"'
        self.count("te_request_count", label)
        yield
        self.count("te_request_success", label)

    def check_size(self, count: int, *, what: str = "Input validation error: `inputs`") -> None:
        if not count:
            raise empty(what)
        if count > self.flags.max_client_batch_size:
            raise too_many(count, self.flags.max_client_batch_size)

    async def embed(
        self, inputs: Sequence[Input], parameters: Parameters, spent: Spent, kind: Kind, *, pooled: bool = True
    ) -> list[Floats]:
        """The model's output for each input. All permits are taken first; the first bad input decides the refusal."""
        with self.engine.permits(len(inputs)):
            self.require(kind)
            return await self._all(inputs, parameters, spent, "te_embed", pooled=pooled)

    async def judge(self, inputs: Sequence[Input], parameters: Parameters, spent: Spent) -> list[Floats]:
        """Logits. Permits are taken one by one, and those that got one are computed before any refusal is given."""

        async def one(given: Input) -> Floats:
            with self.engine.permits():
                return (await self._all([given], parameters, spent, "te_predict", pooled=True))[0]

        return _first_refusal(await asyncio.gather(*map(one, inputs), return_exceptions=True))

    async def _all(
        self, inputs: Sequence[Input], parameters: Parameters, spent: Spent, name: str, *, pooled: bool
    ) -> list[Floats]:
        encodings = await asyncio.to_thread(self._encode, inputs, parameters, spent)

        async def one(encoding: Encoding | Refusal) -> Floats:
            self.count(f"{name}_count")
            if isinstance(encoding, Refusal):
                raise encoding
            done = await self.engine.compute(encoding, pooled=pooled)
            self.count(f"{name}_success")
            _note(spent, encoding, done)
            return done.output

        return _first_refusal(await asyncio.gather(*map(one, encodings), return_exceptions=True))

    def _encode(self, inputs: Sequence[Input], parameters: Parameters, spent: Spent) -> list[Encoding | Refusal]:
        truncate = self.flags.auto_truncate if parameters.truncate is None else parameters.truncate
        side: Side = "left" if parameters.side.lower() == "left" else "right"
        found: list[Encoding | Refusal] = []
        for given in inputs:
            started = time.perf_counter()
            try:
                found.append(
                    self.encoder.encode(given, truncate=truncate, side=side, prompt_name=parameters.prompt_name)
                )
            except Refusal as refusal:
                found.append(refusal)
            spent.tokenization_s.append(time.perf_counter() - started)
        return found


def _first_refusal(results: Sequence[Floats | BaseException]) -> list[Floats]:
    outputs = []
    for result in results:
        if isinstance(result, BaseException):
            raise result
        outputs.append(result)
    return outputs


def _note(spent: Spent, encoding: Encoding, done: Computed) -> None:
    spent.characters += encoding.characters
    spent.tokens += len(encoding.ids)
    spent.queued_s.append(done.queued_s)
    spent.inference_s.append(done.inference_s)


def _ms(seconds: float) -> str:
    return str(int(seconds * 1000))


def _mean_ms(seconds: Sequence[float]) -> str:
    return _ms(sum(seconds) / len(seconds)) if seconds else "0"
