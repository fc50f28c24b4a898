"""Sentence vectors from an ONNX model in this process."""

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from processors.backends.embedded.microbatch import MicroBatcher, Tokens
from processors.backends.embedded.model_files import ModelFiles, locate, threads
from processors.errors import Poison, Transient
from processors.ports import Role, Vectors

INPUTS = {"input_ids", "attention_mask", "token_type_ids"}
OUTPUTS = ("last_hidden_state", "token_embeddings", "sentence_embedding")


class OnnxEmbedder:
    """Vectors from `embedded://minilm-int8`, `embedded://minilm-fp32` or `embedded:///folder`.

    A folder holds `model.onnx` and `tokenizer.json`, and may hold the configuration files of a sentence-transformers
    model (pooling, longest input, prompts). `?threads=2` limits the CPU; the default is every core that this process
    may use. Texts over the model's longest input are cut there, and counted in `truncated`.
    """

    def __init__(self, url: str, *, cache: Path = Path(".headwater/models")) -> None:
        self._url = url
        self._cache = cache
        self._lanes = threads(url, default=len(os.sched_getaffinity(0)))
        self._model = ""
        self._dimensions = 0
        self._batcher: MicroBatcher | None = None
        self._opening = asyncio.Lock()
        self._tokenizer: Any = None
        self._prefixes: dict[Role, str] = {}
        self._truncated = 0

    @property
    def truncated(self) -> int:
        return self._truncated

    @property
    def model(self) -> str:
        return self._model

    @property
    def dimensions(self) -> int:
        return self._dimensions

    async def open(self) -> None:
        async with self._opening:
            if self._batcher is None:
                await asyncio.to_thread(self._load)

    async def close(self) -> None:
        batcher, self._batcher, self._tokenizer = self._batcher, None, None
        if batcher:
            await batcher.close()

    async def check(self) -> str:
        await self.embed(["Is the model there?"], role="query")
        return f"{self._model}, {self._dimensions} dimensions, {self._lanes} threads"

    async def embed(self, texts: Sequence[str], *, role: Role) -> Vectors:
        if self._batcher is None:
            raise Transient(f"the embedder {self._url!r} is not open")
        if not texts:
            return np.empty((0, self._dimensions), np.float32)
        for position, text in enumerate(texts):
            if not text.strip():
                raise Poison("empty-text", f"text {position} of {len(texts)} is blank: there is nothing to embed")
        prefixed = [self._prefixes.get(role, "") + text for text in texts]
        tokens, cut = await asyncio.to_thread(self._tokens, prefixed)
        self._truncated += cut
        return await self._batcher.run(tokens, role=role)

    def _tokens(self, texts: Sequence[str]) -> tuple[list[Tokens], int]:
        """What the model reads of each text, and how many of them were cut."""
        try:
            encodings = self._tokenizer.encode_batch_fast(texts)
        except TypeError as error:
            # What the library says of a lone surrogate.
            raise Poison("bad-text", "a text cannot be written as UTF-8: remove its lone surrogates") from error
        return [each.ids for each in encodings], sum(bool(each.overflowing) for each in encodings)

    def _load(self) -> None:
        files = locate(self._url, cache=self._cache)
        self._tokenizer = _tokenizer(files)
        graph = _Graph(files)
        self._prefixes = dict(files.prefixes)
        self._dimensions = graph.run(self._tokens(["probe"])[0]).shape[1]
        self._model = files.fingerprint()
        self._batcher = MicroBatcher(graph.run, lanes=self._lanes)


class _Graph:
    """A session and the way from its output to unit vectors; safe to run from several threads."""

    def __init__(self, files: ModelFiles) -> None:
        self._files = files
        self._session = _session(files)
        self._inputs = {put.name for put in self._session.get_inputs()}
        outputs = [put.name for put in self._session.get_outputs()]
        self._output = next((name for name in OUTPUTS if name in outputs), None)
        if "input_ids" not in self._inputs or not self._inputs <= INPUTS or self._output is None:
            raise Poison(
                "model-unusable",
                f"{str(files.graph)!r} takes {sorted(self._inputs)} and gives {outputs}; a sentence-embedding model "
                f"takes some of {sorted(INPUTS)} and gives one of {list(OUTPUTS)}: export it for feature extraction",
            )

    def run(self, texts: Sequence[Tokens]) -> Vectors:
        ids = np.zeros((len(texts), max(map(len, texts))), np.int64)
        mask = np.zeros_like(ids)
        for row, tokens in enumerate(texts):
            ids[row, : len(tokens)] = tokens
            mask[row, : len(tokens)] = 1
        feed = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        states = self._session.run([self._output], {name: feed[name] for name in self._inputs})[0]
        if states.ndim == 3:
            weights = mask.astype(np.float32)
            if self._files.pooling == "cls":
                weights[:, 1:] = 0
            states = np.einsum("bsd,bs->bd", states, weights) / weights.sum(axis=1, keepdims=True)
        norms = np.linalg.norm(states, axis=1, keepdims=True)
        if not np.isfinite(states).all() or not norms.all():
            raise Poison("bad-vector", f"{self._files.name!r} gave a vector that is zero or not finite: it is broken")
        return np.asarray(states / norms, np.float32)


def _session(files: ModelFiles) -> Any:
    import onnxruntime
    from onnxruntime.capi import onnxruntime_pybind11_state as errors

    options = onnxruntime.SessionOptions()
    # One thread per run and several runs at once: measured 10 % faster than one run over all cores, with no spinning
    # threads that would take the cores from the rest of the machine.
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    # The arena keeps the largest batch's memory for ever; without it runs are as fast and 200 MB smaller.
    options.enable_cpu_mem_arena = False
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(str(files.graph), options, providers=["CPUExecutionProvider"])
    except (errors.Fail, errors.InvalidGraph, errors.InvalidProtobuf, errors.NotImplemented, RuntimeError) as error:
        raise Poison("model-unusable", f"onnxruntime cannot load {str(files.graph)!r}: {error}") from error


def _tokenizer(files: ModelFiles) -> Any:
    import tokenizers

    try:
        tokenizer = tokenizers.Tokenizer.from_file(str(files.tokenizer))
    except Exception as error:
        # The library raises bare Exception for every unreadable file.
        raise Poison("model-unusable", f"{str(files.tokenizer)!r} is not a tokenizer: {error}") from error
    tokenizer.enable_truncation(files.max_tokens)
    tokenizer.no_padding()
    return tokenizer
