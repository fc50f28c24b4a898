"""The embedded reranker behind Triton."""

from typing import Any

import numpy as np
import triton_python_backend_utils as triton

from processors.backends.embedded.sentence_vectors import SentenceVectors
from processors.backends.embedded.sentences import SentenceReranker
from tests.processors.models import passage
from tests.servers.triton.models.embedding import minilm
from tests.servers.triton.models.llama import Background
from tests.servers.triton.models.tensors import words


class TritonPythonModel:
    def initialize(self, args: dict[str, str]) -> None:
        self._background = Background()
        self._reranker = SentenceReranker(SentenceVectors(minilm(args)))
        self._background.start(self._reranker.open()).result()

    def execute(self, requests: list[Any]) -> list[Any]:
        return [self._scores(request) for request in requests]

    def finalize(self) -> None:
        self._background.start(self._reranker.close()).result()
        self._background.stop()

    def _scores(self, request: Any) -> Any:
        questions, texts = words(request, "query"), words(request, "text")
        judging = self._reranker.rerank(questions[0], [passage(text) for text in texts])
        scores = np.array(self._background.start(judging).result(), np.float32).reshape(-1, 1)
        return triton.InferenceResponse([triton.Tensor("score", scores)])
