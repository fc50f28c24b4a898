"""Texts into a plain model on Triton, and numbers out of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from processors.backends.http import Misdeployed
from processors.backends.triton.errors import ModelFailed
from processors.backends.triton.served import Served, Tensor
from processors.backends.triton.url import TritonUrl
from processors.errors import Poison

MOST_TEXTS = 64
"""In one request, where the model sets no limit: a slice of a document."""
QUESTIONS = ("query", "question")


@dataclass(frozen=True, slots=True)
class TextInput:
    """A model's input of one text per row."""

    name: str
    rank: int
    most: int
    """Rows that one request may have."""

    @classmethod
    def of(cls, tensor: Tensor, served: Served) -> "TextInput":
        if served.max_batch_size:
            most = min(served.max_batch_size, MOST_TEXTS)
        else:
            most = MOST_TEXTS if tensor.shape[:1] == (-1,) else 1
        return cls(tensor.name, len(tensor.shape), most)

    def column(self, texts: Sequence[str]) -> NDArray[Any]:
        column = np.array([text.encode() for text in texts], object)
        return column.reshape(len(texts), *(1,) * (self.rank - 1))


def text_inputs(served: Served, count: int) -> list[TextInput]:
    """Where the texts go: the required inputs of type BYTES, a question's first. Poison: `model-unusable`."""
    required = [tensor for tensor in served.inputs.values() if tensor.required]
    texts = [
        tensor for tensor in required if tensor.datatype == "BYTES" and all(size in (-1, 1) for size in tensor.shape)
    ]
    questions = [tensor for tensor in texts if any(word in tensor.name.lower() for word in QUESTIONS)]
    fits = len(texts) == len(required) == count and (count == 1 or len(questions) == 1) and not served.decoupled
    if not fits:
        wanted = "one text" if count == 1 else f"a text and a question, with {' or '.join(QUESTIONS)} in its name,"
        raise _unusable(served, f"takes {wanted} per row as BYTES of shape [1]")
    return [TextInput.of(tensor, served) for tensor in sorted(texts, key=lambda tensor: tensor not in questions)]


def number_output(served: Served, names: Sequence[str]) -> str:
    """Where the numbers come out: the FP32 output, or of several the one that is named so. Poison: `model-unusable`."""
    numbers = [
        tensor.name for tensor in served.outputs.values() if tensor.datatype == "FP32" and len(tensor.shape) <= 2
    ]
    named = [name for name in numbers if name.lower() in names]
    if len(numbers) == 1 or len(named) == 1:
        return (named or numbers)[0]
    raise _unusable(served, f"gives one output of FP32 with a row per text, or names it {' or '.join(names)}")


def rows(
    url: TritonUrl, answer: Mapping[str, NDArray[Any]], output: str, count: int, *, width: int
) -> NDArray[np.float32]:
    """Shape (count, width), every number finite; width 0 is any."""
    array = answer.get(output)
    if array is None or array.dtype != np.float32:
        got = "nothing" if array is None else str(array.dtype)
        raise Misdeployed("bad-answer", f"{url} gave {got} for {output!r} in place of FP32; correct the model")
    single = count == 1 or array.shape[:1] == (count,)
    if not single or array.size == 0 or array.size % count or array.squeeze().ndim > 2:
        problem = f"{url} gave {output!r} of shape {list(array.shape)} for {count} texts"
        raise Misdeployed("bad-answer", f"{problem}; the model must give one row per text")
    found = array.reshape(count, -1)
    if width and found.shape[1] != width:
        problem = f"{url} gave rows of {found.shape[1]} numbers in place of {width}"
        raise Misdeployed("bad-answer", f"{problem}; if the model was replaced, start the workers anew")
    if not np.isfinite(found).all():
        raise ModelFailed(f"{url} gave a number that is not finite; see the server's log")
    return np.asarray(found, np.float32)


def _unusable(served: Served, wanted: str) -> Poison:
    return Poison("model-unusable", f"{served.name!r} {served.signature()}; Headwater needs one that {wanted}")
