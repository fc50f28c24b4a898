"""Token late interaction (MaxSim) on the default embedding model: what the reranker is compared to."""

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from tokenizers import Tokenizer

from processors.backends.embedded.model_files import locate

States = NDArray[np.float16]


class TokenStates:
    """The unit vector of each token of a text, from the model's last layer."""

    def __init__(self) -> None:
        files = locate("embedded://minilm-int8", cache=Path())
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 2
        self._session = onnxruntime.InferenceSession(str(files.graph), options, providers=["CPUExecutionProvider"])
        self._tokenizer = Tokenizer.from_file(str(files.tokenizer))
        self._tokenizer.enable_truncation(files.max_tokens)
        self._tokenizer.no_padding()
        self._known: dict[str, States] = {}

    def of(self, text: str) -> States:
        if text not in self._known:
            ids = np.array([self._tokenizer.encode(text).ids], np.int64)
            feed = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
            states = self._session.run(["last_hidden_state"], feed)[0][0, 1:-1]
            unit = states / np.linalg.norm(states, axis=1, keepdims=True)
            self._known[text] = unit.astype(np.float16)
        return self._known[text]

    def forget(self) -> None:
        self._known.clear()

    def match(self, question: str, passages: Sequence[str]) -> NDArray[np.float64]:
        """Of each passage: how near its nearest token is to each of the question's, on average."""
        asked = self.of(question).astype(np.float32)
        return np.array([(asked @ self.of(text).astype(np.float32).T).max(axis=1).mean() for text in passages])


def cost_ms(states: TokenStates, asked: Sequence[tuple[str, Sequence[str]]]) -> float:
    """CPU milliseconds of one cold comparison."""
    started = time.process_time()
    for question, passages in asked:
        states.forget()
        states.match(question, passages)
    return (time.process_time() - started) / len(asked) * 1000
