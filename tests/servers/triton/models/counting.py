"""The faulty model, under the name of the configuration that declares numbers of another type."""

from tests.servers.triton.models.faulty import TritonPythonModel

__all__ = ["TritonPythonModel"]
