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
from tests.servers.tei.refusals import Refusal, empty, invalid, too_many, wrong_model

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
    async def counted(self, *, batch: bool, success: str = "te_request_success") -> AsyncIterator[None]:
        label = 'method="batch"' if batch else 'method="single"'
        self.count("te_request_count", label)
        yield
        self.count(success, label)

    def check_size(self, count: int, *, what: str = "Input validation error: `inputs`") -> None:
        if not count:
            raise empty(what)
        if count > self.flags.max_client_batch_size:
            raise too_many(count, self.flags.max_client_batch_size)

    async def embed(
        self,
        inputs: Sequence[Input],
        parameters: Parameters,
        spent: Spent,
        kind: Kind,
        *,
        pooled: bool = True,
        dimensions: int | None = None,
    ) -> list[Floats]:
        """The model's output for each input. All permits are taken first; the first bad input decides the refusal."""

        async def one(encoding: Encoding | Refusal) -> Floats:
            self.require(kind)
            done = await self._compute(encoding, spent, "te_embed", pooled=pooled)
            if dimensions and dimensions > done.output.shape[-1]:
                too_big = "`dimensions` should be smaller than the maximum embedding dimension."
                raise invalid(too_big, "validation")
            self.count("te_embed_success")
            return done.output

        with self.engine.permits(len(inputs)):
            encodings = await asyncio.to_thread(self._encode, inputs, parameters, spent)
            return self._outputs(await asyncio.gather(*map(one, encodings), return_exceptions=True))

    async def judge(self, inputs: Sequence[Input], parameters: Parameters, spent: Spent) -> list[Floats]:
        """Logits. Permits are taken one by one, and those that got one are computed before any refusal is given."""

        async def one(given: Input) -> Floats:
            with self.engine.permits():
                self.require("pairs")
                encodings = await asyncio.to_thread(self._encode, [given], parameters, spent)
                done = await self._compute(encodings[0], spent, "te_predict", pooled=True)
                self.count("te_predict_success")
                return done.output

        return self._outputs(await asyncio.gather(*map(one, inputs), return_exceptions=True))

    async def _compute(self, encoding: Encoding | Refusal, spent: Spent, name: str, *, pooled: bool) -> Computed:
        self.count(f"{name}_count")
        if isinstance(encoding, Refusal):
            raise encoding
        done = await self.engine.compute(encoding, pooled=pooled)
        spent.characters += encoding.characters
        spent.tokens += len(encoding.ids)
        spent.queued_s.append(done.queued_s)
        spent.inference_s.append(done.inference_s)
        return done

    def _outputs(self, results: Sequence[Floats | BaseException]) -> list[Floats]:
        """All of them, or the first refusal; each of the others counts as a failure, too."""
        errors = [result for result in results if isinstance(result, BaseException)]
        for error in errors[1:]:
            if isinstance(error, Refusal):
                self.engine.failed(error)
        if errors:
            raise errors[0]
        return [result for result in results if not isinstance(result, BaseException)]

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


def _ms(seconds: float) -> str:
    return str(int(seconds * 1000))


def _mean_ms(seconds: Sequence[float]) -> str:
    return _ms(sum(seconds) / len(seconds)) if seconds else "0"
