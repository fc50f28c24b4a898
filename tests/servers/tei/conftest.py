"""Stand-ins in this process, shared by what asks them; what ends a process starts its own."""

from collections.abc import Iterator

import pytest

from tests.servers.tei.replay import Stage, stage


@pytest.fixture(scope="package")
def stand_ins() -> Iterator[Stage]:
    with stage() as found:
        yield found
