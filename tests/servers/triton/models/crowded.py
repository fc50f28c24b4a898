"""The faulty model, under the name of the configuration that keeps its queue short."""

from tests.servers.triton.models.faulty import TritonPythonModel

__all__ = ["TritonPythonModel"]
