"""The wire contract of TensorRT-LLM's LLM API in Triton, over a llama.cpp server."""

from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import triton_python_backend_utils as triton

from tests.servers.triton.models.llama import Streaming
from tests.servers.triton.models.tensors import given


class TritonPythonModel(Streaming):
    decoupled = True

    async def answer(self, request: Any) -> AsyncIterator[list[Any]]:
        """All the text so far with each token where `streaming` is set, else once."""
        prompt = given(request, "text_input", b"").decode()
        streaming = bool(given(request, "streaming", False))
        if streaming and not self.decoupled:
            raise ValueError("Streaming is only supported in decoupled mode.")
        most = int(given(request, "sampling_param_max_tokens", 32))
        top_k = int(given(request, "sampling_param_top_k", 50))
        text = ""
        async for event in self.llama.complete(prompt, max_tokens=most, top_k=top_k):
            text += event["content"]
            if streaming or event["stop"]:
                yield [triton.Tensor("text_output", np.array([text.encode()], object))]
