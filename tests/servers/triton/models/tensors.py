"""What a request holds."""

from typing import Any

import triton_python_backend_utils as triton


def given(request: Any, name: str, default: Any) -> Any:
    """The one value of an input, or the default where it was left out."""
    tensor = triton.get_input_tensor_by_name(request, name)
    return default if tensor is None else tensor.as_numpy().ravel()[0]


def words(request: Any, name: str) -> list[str]:
    """The texts of an input."""
    tensor = triton.get_input_tensor_by_name(request, name)
    return [text.decode() for text in tensor.as_numpy().ravel()]
