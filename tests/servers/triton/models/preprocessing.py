"""First step of the ensemble: text in, tokens out."""

from typing import Any

import numpy as np
import triton_python_backend_utils as triton

from tests.servers.triton.models.llama import Background, Llama, given


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
        longest = given(request, "REQUEST_OUTPUT_LEN", 0)
        tokens = triton.Tensor("INPUT_ID", np.array([said["tokens"]], np.int32))
        return triton.InferenceResponse([tokens, triton.Tensor("REQUEST_OUTPUT_LEN", np.array([[longest]], np.int32))])
