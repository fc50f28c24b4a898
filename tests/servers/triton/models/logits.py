"""A reranker that counts the words in common, and gives logits."""

import json
from typing import Any

import numpy as np
import triton_python_backend_utils as triton

from tests.servers.triton.models.tensors import words


class TritonPythonModel:
    def initialize(self, args: dict[str, str]) -> None:
        [output] = json.loads(args["model_config"])["output"]
        self._output = output["name"]

    def execute(self, requests: list[Any]) -> list[Any]:
        return [self._answer(words(request, "QUESTION"), words(request, "PASSAGE")) for request in requests]

    def _answer(self, questions: list[str], passages: list[str]) -> Any:
        pairs = zip(questions, passages, strict=True)
        common = [len(set(asked.lower().split()) & set(text.lower().split())) for asked, text in pairs]
        return triton.InferenceResponse([triton.Tensor(self._output, np.array(common, np.float32).reshape(-1, 1) - 2)])
