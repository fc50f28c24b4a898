"""What the tests of the local stack share."""

from pathlib import Path

import pytest

from streams.settings import Settings


@pytest.fixture
def jar_folder(stack: Settings) -> Path:
    """The jars that the running broker was started from."""
    assert stack.local.jars is not None
    return stack.local.jars
