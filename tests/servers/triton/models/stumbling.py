"""A language model that says or fails what its questions tell it."""

import asyncio
import re
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import triton_python_backend_utils as triton

from tests.servers.triton.models.llama import Streaming
from tests.servers.triton.models.tensors import given

CONTEXT_BYTES = 1_000


class TritonPythonModel(Streaming):
    def initialize(self, args: dict[str, str]) -> None:
        super().initialize(args)
        self._told: set[str] = set()
        self._failures = 0

    async def answer(self, request: Any) -> AsyncIterator[list[Any]]:
        prompt = given(request, "text_input", b"").decode()
        if told := re.search(r"speak (\w+)", prompt):
            for letter in told.group(1):
                yield [_text(letter)]
            return
        if "at once" in prompt or self._breaks_down(prompt):
            raise RuntimeError("out of memory")
        if "narrow" in prompt and len(prompt) > CONTEXT_BYTES:
            raise RuntimeError(f"The prompt (length {len(prompt)}) is longer than the maximum model length of 1000")
        if "too narrow" in prompt:
            raise RuntimeError("This model's maximum context length is 16 tokens")
        if "before" in prompt:
            await asyncio.sleep(30)
        yield [_text("In ")]
        if "amid the answer" in prompt:
            raise RuntimeError("CUDA error: an illegal memory access was encountered")
        if "without a text" in prompt:
            yield []
        yield [_text("18")]
        if "grows too long" in prompt:
            await asyncio.sleep(0.2)  # until what was said is on its way
            raise RuntimeError("This model's maximum context length is 16 tokens")
        if (told := re.search(r"fail amid it once, (\w+)", prompt)) and told.group(1) not in self._told:
            self._told.add(told.group(1))
            await asyncio.sleep(0.2)
            raise RuntimeError("CUDA error: an illegal memory access was encountered")
        if "hang" in prompt:
            await asyncio.sleep(30)
        yield [_text("89.")]

    def _breaks_down(self, prompt: str) -> bool:
        """For so many requests, whatever they ask, as a question wants it once."""
        if (told := re.search(r"fail (\d) requests, (\w+)", prompt)) and told.group(2) not in self._told:
            self._told.add(told.group(2))
            self._failures = int(told.group(1))
        self._failures -= 1
        return self._failures >= 0


def _text(text: str) -> Any:
    return triton.Tensor("text_output", np.array([text.encode()], object))
