"""The same model under its other name."""

from tests.servers.triton.models.logits import TritonPythonModel

__all__ = ["TritonPythonModel"]
