"""Following a topic outside any group: what goes wrong is said, and never waited for in silence."""

import asyncio

import pytest
from confluent_kafka import KafkaException

from streams.tail import Tail


async def test_options_that_a_consumer_refuses_are_an_error_at_once() -> None:
    tail = Tail({"bootstrap.servers": "127.0.0.1:1", "nonsense": "x"}, "receipts")
    with pytest.raises(KafkaException, match="nonsense"):
        await tail.open()
    await tail.close()


async def test_what_nobody_waits_for_any_more_is_not_lost(caplog: pytest.LogCaptureFixture) -> None:
    tail = Tail({"bootstrap.servers": "127.0.0.1:1"}, "receipts")
    opening = asyncio.create_task(tail.open())
    await asyncio.sleep(0.1)
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    assert caplog.messages == []
