"""The three ways in which Triton's language models are asked, and how their answers become text.

| dialect | serves | known by its inputs | its text |
|---|---|---|---|
| vllm | the vLLM backend | `sampling_parameters`, `exclude_input_in_output` | what is new |
| tensorrt-llm | the ensemble of TensorRT-LLM and its BLS model | `max_tokens` | what is new, or all so far |
| llmapi | TensorRT-LLM's LLM API | `sampling_param_max_tokens` | all so far |
"""

import codecs
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from processors.backends.triton.served import Served, Tensors
from processors.errors import Poison
from schemas import Usage

PROMPT, TEXT = "text_input", "text_output"
COUNTS = ("num_input_tokens", "num_output_tokens")
REPLACEMENT = "\ufffd"

Response = Mapping[str, NDArray[Any]]
"""The outputs in one part of an answer; absent ones are absent."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """How one kind of model is asked."""

    name: str
    known_by: frozenset[str]
    """Inputs that together no other kind has."""
    cumulative: bool
    """Each response holds all the text so far, not only what is new."""
    values: Callable[[int, bool], Mapping[str, object]]
    """Inputs beside the prompt, given the most tokens to generate and whether to stream."""


@dataclass(frozen=True, slots=True)
class Speaker:
    """A model and its dialect."""

    served: Served
    dialect: Dialect
    cumulative: bool

    @property
    def outputs(self) -> list[str]:
        return [name for name in (TEXT, *COUNTS) if name in self.served.outputs]

    def inputs(self, prompt: str, *, max_tokens: int) -> Tensors:
        """The tensors of one request; what this model does not declare is left out."""
        values = {PROMPT: prompt, **self.dialect.values(max_tokens, self.served.decoupled)}
        return {
            name: self.served.inputs[name].scalar(value) for name, value in values.items() if name in self.served.inputs
        }


def _vllm(max_tokens: int, stream: bool) -> Mapping[str, object]:
    return {
        "stream": stream,
        "sampling_parameters": orjson.dumps({"max_tokens": max_tokens, "temperature": 0}).decode(),
        "exclude_input_in_output": True,
        "return_num_input_tokens": True,
        "return_num_output_tokens": True,
    }


def _tensorrt_llm(max_tokens: int, stream: bool) -> Mapping[str, object]:
    # The most likely token each time, whatever temperature the server is set to.
    return {
        "max_tokens": max_tokens,
        "top_k": 1,
        "stream": stream,
        "exclude_input_in_output": True,
        "return_num_input_tokens": True,
        "return_num_output_tokens": True,
    }


def _llmapi(max_tokens: int, stream: bool) -> Mapping[str, object]:
    return {
        "sampling_param_max_tokens": max_tokens,
        "sampling_param_top_k": 1,
        "streaming": stream,
        "sampling_param_exclude_input_from_output": True,
    }


DIALECTS = (
    Dialect("vllm", frozenset({"sampling_parameters", "exclude_input_in_output"}), False, _vllm),
    Dialect("llmapi", frozenset({"sampling_param_max_tokens"}), True, _llmapi),
    Dialect("tensorrt-llm", frozenset({"max_tokens"}), False, _tensorrt_llm),
)


def recognise(served: Served) -> Speaker:
    """The model's dialect, by what it takes and gives. Poison: `unknown-dialect`."""
    texts = (served.inputs.get(PROMPT), served.outputs.get(TEXT))
    spoken = [dialect for dialect in DIALECTS if dialect.known_by <= set(served.inputs)]
    if not spoken or not all(tensor is not None and tensor.datatype == "BYTES" for tensor in texts):
        known = "; ".join(f"{dialect.name} by {', '.join(sorted(dialect.known_by))}" for dialect in DIALECTS)
        problem = f"{served.name!r} {served.signature()}; from {PROMPT} to {TEXT} Headwater speaks: {known}"
        raise Poison("unknown-dialect", problem)
    # What TensorRT-LLM's BLS model is told by this parameter of its configuration.
    accumulates = served.parameters.get("accumulate_tokens", "").lower() in ("true", "yes", "1", "t")
    speaker = Speaker(served, spoken[0], spoken[0].cumulative or accumulates)
    given = speaker.inputs("", max_tokens=1)
    if missing := [tensor.name for tensor in served.inputs.values() if tensor.required and tensor.name not in given]:
        problem = f"{served.name!r} requires {', '.join(missing)}, which its dialect {spoken[0].name} does not know"
        raise Poison("unknown-dialect", f"{problem}; make them optional in its config.pbtxt")
    return speaker


def strange(response: Response) -> str:
    """What of a response is neither a text nor a count; empty: nothing."""
    for name, array in response.items():
        fits = array.dtype.kind in "OS" and array.size <= 1 if name == TEXT else array.dtype.kind in "iu"
        if not fits:
            return f"{name!r} as {array.dtype} of shape {list(array.shape)}"
    return ""


@dataclass(slots=True)
class Reading:
    """An answer under way: what each response adds to the text, and the tokens it took."""

    cumulative: bool
    _seen: str = ""
    _prompt_tokens: int = 0
    _completion_tokens: int = 0
    _decoder: codecs.IncrementalDecoder = field(
        default_factory=lambda: codecs.getincrementaldecoder("utf-8")("replace")
    )

    def feed(self, response: Response) -> str:
        """The new text; empty where a response holds none, as a last one may."""
        read, grown = (int(np.max(response.get(name, 0), initial=0)) for name in COUNTS)
        self._prompt_tokens = max(self._prompt_tokens, read)
        self._completion_tokens += grown
        text = response.get(TEXT)
        data = bytes(text.flat[0]) if text is not None and text.size else b""
        return self._growth(data) if self.cumulative else self._decoder.decode(data)

    def end(self) -> str:
        """What was held because it might have become a character."""
        return "" if self.cumulative else self._decoder.decode(b"", final=True)

    @property
    def usage(self) -> Usage:
        return Usage(prompt_tokens=self._prompt_tokens, completion_tokens=self._completion_tokens)

    def _growth(self, data: bytes) -> str:
        # The beginning of a character is shown as a replacement until the rest is there.
        text = data.decode(errors="replace").rstrip(REPLACEMENT)
        if len(text) <= len(self._seen):
            return ""
        new, self._seen = text[len(self._seen) :], text
        return new
