"""The confluent engine keeps the promises of every engine on a real broker."""

import pytest

from streams.runtime.engines.confluent import ConfluentEngine
from streams.runtime.records import Record
from tests.streams.runtime.engines.kafka import KafkaEngineContract

pytestmark = pytest.mark.stack


class TestConfluentEngine(KafkaEngineContract):
    name = "confluent"


async def test_options_that_cannot_work_are_refused_by_name() -> None:
    async def handle(_: Record) -> None:
        pass

    engine = ConfluentEngine({"bootstrap.servers": "127.0.0.1:1", "no.such.option": 1}, max_events=1, max_bytes=1)
    with pytest.raises(ValueError, match=r"'kafka_options'.*no\.such\.option"):
        engine.host("group", "topic", handle)
