"""MiniLM, as the four kinds of model that TEI serves."""

import os
from collections.abc import Sequence
from functools import cache, cached_property
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from tokenizers import Tokenizer

from processors.backends.embedded.model_files import ModelFiles, locate
from tests.servers.tei.encoding import CLS, SEP, Encoding
from tests.servers.tei.flags import Flags

Floats = NDArray[np.float32]
Ids = tuple[int, ...]

VOCABULARY = 30522
FIRST_WORD = 1996
"""The tokenizer's words stand in order of their frequency, from "the" on."""
STEEPNESS, MIDPOINT = 16.0, 0.45
"""Logit of a late interaction: an answer lies at 0.7 and above, an unrelated text at 0.2 and below."""
LABELS = {"neg": "This is bad.", "neu": "This is a plain fact.", "pos": "This is good."}
SHARPNESS = 10.0


class MiniLm:
    """Runs one batch at a time, on as many cores as it is given; not to be called from two threads at once."""

    def __init__(self, flags: Flags) -> None:
        self._flags = flags
        self._files = _files(flags)
        self._session = _session(str(self._files.graph), flags.threads)
        self._inputs = {put.name for put in self._session.get_inputs()}

    @property
    def tokenizer(self) -> Tokenizer:
        return _tokenizer(str(self._files.tokenizer))

    @property
    def labels(self) -> list[str]:
        return list(LABELS) if self._flags.model == "minilm-classifier" else ["LABEL_0"]

    def __call__(self, batch: Sequence[Encoding]) -> list[Floats]:
        """Of each input: token states (tokens, 384), term weights (vocabulary,) or logits (labels,)."""
        match self._flags.model:
            case "minilm" | "minilm-prompts":
                found = self._states([one.ids for one in batch])
            case "minilm-sparse":
                found = [_term_weights(one.first) for one in batch]
            case "minilm-reranker":
                found = self._relevance(batch)
            case "minilm-classifier":
                vectors = np.stack([_unit(_mean(states)) for states in self._states([one.ids for one in batch])])
                found = list((vectors @ self._anchors.T * SHARPNESS).astype(np.float32))
        return [self._spoilt(each) for each in found]

    def _relevance(self, batch: Sequence[Encoding]) -> list[Floats]:
        """How near the nearest token of the text is to each of the query's, on average, as a logit."""
        queries = self._by_ids([(CLS, *one.first, SEP) for one in batch])
        texts = self._by_ids([(CLS, *one.second, SEP) for one in batch])
        logits = []
        for one in batch:
            query, text = queries[(CLS, *one.first, SEP)][1:-1], texts[(CLS, *one.second, SEP)][1:-1]
            near = float((query @ text.T).max(axis=1).mean()) if len(query) and len(text) else 0.0
            logits.append(np.array([STEEPNESS * (near - MIDPOINT)], np.float32))
        return logits

    def _by_ids(self, texts: Sequence[Ids]) -> dict[Ids, Floats]:
        """Unit token states; what occurs twice is computed once."""
        each = list(dict.fromkeys(texts))
        return {ids: _unit(states) for ids, states in zip(each, self._states(each), strict=True)}

    def _states(self, texts: Sequence[Ids]) -> list[Floats]:
        longest = max(map(len, texts))
        if not longest:
            return [np.empty((0, 384), np.float32) for _ in texts]
        ids = np.zeros((len(texts), longest), np.int64)
        mask = np.zeros_like(ids)
        for row, tokens in enumerate(texts):
            ids[row, : len(tokens)] = tokens
            mask[row, : len(tokens)] = 1
        feed = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        states = self._session.run(["last_hidden_state"], {name: feed[name] for name in self._inputs})[0]
        return [np.asarray(states[row, : len(tokens)], np.float32) for row, tokens in enumerate(texts)]

    def _spoilt(self, output: Floats) -> Floats:
        match self._flags.output:
            case None:
                return output
            case "zeros":
                return np.zeros_like(output)
            case "nan":
                return np.full_like(output, np.nan)
            case "steep":
                return np.linspace(-100, 1, len(output), dtype=np.float32)

    @cached_property
    def _anchors(self) -> Floats:
        texts = [(CLS, *self.tokenizer.encode(text, add_special_tokens=False).ids, SEP) for text in LABELS.values()]
        return np.stack([_unit(_mean(states)) for states in self._states(texts)])


def pool(states: Floats, pooling: str) -> Floats:
    """One vector for a text; not-a-number for a text without tokens."""
    if not len(states):
        return np.full(states.shape[1], np.nan, np.float32)
    return states[0] if pooling == "cls" else _mean(states)


def _mean(states: Floats) -> Floats:
    return np.asarray(states.mean(axis=0), np.float32)


def _unit(rows: Floats) -> Floats:
    return np.asarray(rows / np.maximum(np.linalg.norm(rows, axis=-1, keepdims=True), 1e-12), np.float32)


def _term_weights(ids: Ids) -> Floats:
    """Logarithm of how often a word occurs, times the logarithm of how rare it is by its place in the vocabulary."""
    weights = np.zeros(VOCABULARY, np.float32)
    words, counts = np.unique(np.array(ids, np.int64), return_counts=True)
    rarity = np.log1p(np.maximum(words - FIRST_WORD, 0)) / np.log(VOCABULARY)
    weights[words] = np.log1p(counts) * (0.05 + rarity)
    return weights


def _files(flags: Flags) -> ModelFiles:
    return locate(f"embedded://minilm-{flags.weights}", cache=Path(".headwater/models"))


@cache
def _tokenizer(file: str) -> Tokenizer:
    tokenizer = Tokenizer.from_file(file)
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


@cache
def _session(graph: str, threads: int) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or len(os.sched_getaffinity(0))
    options.enable_cpu_mem_arena = False
    options.log_severity_level = 3
    # Threads that spin while they wait would take the cores from the client under test.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
