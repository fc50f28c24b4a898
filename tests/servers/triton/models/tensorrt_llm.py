"""Second step of the ensemble: tokens in, tokens out, over a llama.cpp server."""

from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import triton_python_backend_utils as triton

from tests.servers.triton.models.llama import Streaming
from tests.servers.triton.models.tensors import given


class TritonPythonModel(Streaming):
    async def answer(self, request: Any) -> AsyncIterator[list[Any]]:
        """The new tokens where `streaming` is set, else all of them, after the prompt's unless told."""
        length = int(given(request, "input_lengths", 0))
        prompt = triton.get_input_tensor_by_name(request, "input_ids").as_numpy().ravel()[:length].tolist()
        streaming = bool(given(request, "streaming", False))
        most = int(given(request, "request_output_len", 1))
        top_k = int(given(request, "runtime_top_k", 50))
        whole = not (streaming or given(request, "exclude_input_in_output", False))
        tokens: list[int] = list(prompt) if whole else []
        async for event in self.llama.complete(prompt, max_tokens=most, top_k=top_k):
            tokens += event["tokens"]
            if event["stop"] or (streaming and tokens):
                yield _outputs(request, tokens, len(prompt))
                tokens = []


def _outputs(request: Any, tokens: list[int], prompt: int) -> list[Any]:
    tensors = [
        triton.Tensor("output_ids", np.array([[tokens]], np.int32)),
        triton.Tensor("sequence_length", np.array([[len(tokens)]], np.int32)),
    ]
    counts = {"num_input_tokens": prompt, "num_output_tokens": len(tokens)}
    tensors += [
        triton.Tensor(name, np.array([[count]], np.int32))
        for name, count in counts.items()
        if given(request, f"return_{name}", False)
    ]
    return tensors
