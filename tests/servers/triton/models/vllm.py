"""The wire contract of Triton's vLLM backend, over a llama.cpp server."""

import json
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import triton_python_backend_utils as triton

from tests.servers.triton.models.llama import Streaming
from tests.servers.triton.models.tensors import given


class TritonPythonModel(Streaming):
    async def answer(self, request: Any) -> AsyncIterator[list[Any]]:
        """The text's growth with each token where `stream` is set, else the whole, after the prompt unless told."""
        prompt = given(request, "text_input", b"").decode()
        stream = bool(given(request, "stream", False))
        prepend = not bool(given(request, "exclude_input_in_output", stream))
        if prepend and stream:
            raise ValueError("When streaming, `exclude_input_in_output` = False is not allowed.")
        wanted = json.loads(given(request, "sampling_parameters", b"{}"))
        most, temperature = int(wanted.get("max_tokens", 16)), float(wanted.get("temperature", 1))
        text, tokens = prompt if prepend else "", 0
        async for event in self.llama.complete(prompt, max_tokens=most, temperature=temperature):
            text, tokens = text + event["content"], tokens + len(event["tokens"])
            if stream or event["stop"]:
                yield [_text(text), *_counts(request, int(event["tokens_evaluated"]), tokens)]
                text, tokens = "", 0


def _text(text: str) -> Any:
    return triton.Tensor("text_output", np.array([text.encode()], object))


def _counts(request: Any, prompt: int, grown: int) -> list[Any]:
    counts = [
        triton.Tensor("num_input_tokens", np.array([prompt], np.uint32)),
        triton.Tensor("num_output_tokens", np.array([grown], np.uint32)),
    ]
    return [count for count in counts if given(request, f"return_{count.name()}", False)]
