"""First step of the ensemble: text in, tokens out."""

from typing import Any

import numpy as np
import triton_python_backend_utils as triton

from tests.servers.triton.models.llama import Background, Llama
from tests.servers.triton.models.tensors import given


class TritonPythonModel:
    def initialize(self, args: dict[str, str]) -> None:
        self._llama, self._background = Llama(args), Background()

    def execute(self, requests: list[Any]) -> list[Any]:
        return [self._background.start(self._tokens(request)).result() for request in requests]

    def finalize(self) -> None:
        self._background.stop()

    async def _tokens(self, request: Any) -> Any:
        prompt = given(request, "QUERY", b"").decode()
        said = await self._llama.call("/tokenize", {"content": prompt, "parse_special": True, "add_special": True})
        tokens = said["tokens"]
        outputs = {
            "INPUT_ID": [tokens],
            "REQUEST_INPUT_LEN": [[len(tokens)]],
            "REQUEST_OUTPUT_LEN": [[given(request, "REQUEST_OUTPUT_LEN", 0)]],
        }
        return triton.InferenceResponse(
            [triton.Tensor(name, np.array(value, np.int32)) for name, value in outputs.items()]
        )
