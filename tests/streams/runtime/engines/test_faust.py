"""The faust engine keeps the promises of every engine on a real broker."""

import pytest

from tests.streams.runtime.engines.kafka import KafkaEngineContract

pytestmark = pytest.mark.stack


class TestFaustEngine(KafkaEngineContract):
    name = "faust"
