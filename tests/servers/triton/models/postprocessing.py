"""Last step of the ensemble: tokens in, text out."""

import re
from typing import Any

import numpy as np
import triton_python_backend_utils as triton

from tests.servers.triton.models.llama import Background, Llama


class TritonPythonModel:
    def initialize(self, args: dict[str, str]) -> None:
        self._llama, self._background = Llama(args), Background()

    def execute(self, requests: list[Any]) -> list[Any]:
        return [self._background.start(self._text(request)).result() for request in requests]

    def finalize(self) -> None:
        self._background.stop()

    async def _text(self, request: Any) -> Any:
        tokens = triton.get_input_tensor_by_name(request, "TOKENS_BATCH").as_numpy().ravel().tolist()
        said = await self._llama.call("/detokenize", {"tokens": tokens})
        # As the published step does with skip_special_tokens, its default.
        text = re.sub(r"<\|[^|]*\|>", "", said["content"])
        return triton.InferenceResponse([triton.Tensor("OUTPUT", np.array([text.encode()], object))])
