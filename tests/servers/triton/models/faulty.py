"""An embedding model that fails as its texts tell it."""

import time
from typing import Any

import numpy as np
import triton_python_backend_utils as triton
from numpy.typing import NDArray

from tests.servers.triton.models.tensors import words

DIMENSIONS = 4


class TritonPythonModel:
    def execute(self, requests: list[Any]) -> list[Any]:
        return [_answer(words(request, "text")) for request in requests]


def _answer(texts: list[str]) -> Any:
    vectors: NDArray[Any] = np.ones((len(texts), DIMENSIONS), np.float32)
    for row, text in enumerate(texts):
        match text:
            case "explode":  # takes with it what Triton batched
                raise RuntimeError("exploded")
            case "raise":
                return triton.InferenceResponse(error=triton.TritonError("tokens exceed what the model takes"))
            case "nan":
                vectors[row, 1] = np.nan
            case "zeros":
                vectors[row] = 0
            case "fewer":
                vectors = vectors[1:]
            case "wider":
                vectors = np.ones((len(texts), 2 * DIMENSIONS), np.float32)
            case "doubles":
                vectors = vectors.astype(np.float64)
            case "flat":
                vectors = vectors.ravel()
            case "pause":
                time.sleep(0.3)
            case "slow":
                time.sleep(2)
    return triton.InferenceResponse([triton.Tensor("embedding", vectors)])
