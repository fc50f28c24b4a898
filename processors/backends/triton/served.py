"""What a Triton server says about a model: what it takes, what it gives, and how it batches."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

Tensors = Mapping[str, NDArray[Any]]
TYPES: Mapping[str, Any] = {
    "BYTES": object,
    "BOOL": np.bool_,
    "INT32": np.int32,
    "INT64": np.int64,
    "UINT32": np.uint32,
    "UINT64": np.uint64,
    "FP32": np.float32,
}


@dataclass(frozen=True, slots=True)
class Tensor:
    """An input or output as the model declares it."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    """With the batch's dimension where the model batches; -1 is any size."""
    required: bool = True

    def scalar(self, value: object) -> NDArray[Any]:
        """`value` in this tensor's type, as a batch of one."""
        if isinstance(value, str):
            value = value.encode(errors="replace")
        return np.array([value], TYPES[self.datatype]).reshape((1,) * len(self.shape))


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """A model."""

    name: str
    version: str
    """The newest that is ready."""
    platform: str
    inputs: Mapping[str, Tensor]
    outputs: Mapping[str, Tensor]
    max_batch_size: int
    """0: the model does not batch, and its shapes have no dimension for it."""
    decoupled: bool
    """It may give any number of responses to a request."""
    parameters: Mapping[str, str]
    steps: tuple[str, ...] = ()
    """The models that an ensemble is made of."""

    @classmethod
    def of(cls, metadata: Any, config: Any) -> Self:
        """From the two messages that a server answers."""
        optional = {each.name for each in config.input if each.optional}

        def tensors(declared: Any) -> dict[str, Tensor]:
            return {
                each.name: Tensor(each.name, each.datatype, tuple(each.shape), each.name not in optional)
                for each in declared
            }

        return cls(
            name=metadata.name,
            version=max(metadata.versions, key=int, default=""),
            platform=metadata.platform,
            inputs=tensors(metadata.inputs),
            outputs=tensors(metadata.outputs),
            max_batch_size=config.max_batch_size,
            decoupled=config.model_transaction_policy.decoupled,
            parameters={name: value.string_value for name, value in config.parameters.items()},
            steps=tuple(step.model_name for step in config.ensemble_scheduling.step),
        )

    def signature(self) -> str:
        """For messages: what goes in and out."""
        sides = [
            ", ".join(f"{each.name} {each.datatype} {list(each.shape)}" for each in tensors.values())
            for tensors in (self.inputs, self.outputs)
        ]
        return f"takes ({sides[0]}) and gives ({sides[1]})"
