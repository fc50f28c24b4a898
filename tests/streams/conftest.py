"""Topics of their own on the shared broker, and somebody who answers there."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from streams import provisioning
from streams.settings import Settings
from tests.streams.responder import Responder, responding


@pytest.fixture(scope="session")
def answered(stack: Settings) -> Iterator[tuple[Settings, Responder]]:
    """Topics beside those of the stack, where a responder is at work."""
    settings = stack.model_copy(update={"topic_prefix": "answered-"})
    provisioning.apply(settings)
    with responding(settings) as responder:
        yield settings, responder


@pytest.fixture
def deployment(answered: tuple[Settings, Responder], tmp_path: Path) -> Settings:
    """Settings for the topics that the responder reads, with a home of its own."""
    return Settings(kafka=answered[0].kafka_url, topic_prefix=answered[0].topic_prefix, home=tmp_path)


@pytest.fixture
def responder(answered: tuple[Settings, Responder]) -> Responder:
    """What answers `deployment`."""
    return answered[1]
