"""The same model where it may not stream."""

from tests.servers.triton.models.llmapi import TritonPythonModel as Model


class TritonPythonModel(Model):
    decoupled = False
