"""What was cut is told once, by port, and through every wrapper."""

import logging

import pytest
from opentelemetry.trace import NoOpTracer

from streams.traced import Spans, TracedEmbedder
from streams.truncation import Truncations
from tests.processors.hashed_words import HashedWords


class Short(HashedWords):
    """An embedder that cuts texts."""

    truncated = 0


def test_each_port_tells_what_it_cut_since_the_last_time(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "headwater.truncation")
    short, whole = Short(), HashedWords()
    spans = Spans(NoOpTracer(), content=False)
    truncations = Truncations([TracedEmbedder(short, spans), TracedEmbedder(whole, spans)])
    truncations.tell()
    assert not caplog.records
    short.truncated = 3
    truncations.tell()
    short.truncated = 4
    truncations.tell()
    truncations.tell()
    told = [(record.message, vars(record)["port"], vars(record)["texts"]) for record in caplog.records]
    assert told == [("texts cut", "embedder", 3), ("texts cut", "embedder", 1)]
