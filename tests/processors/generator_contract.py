"""What every Generator must do. A backend's tests inherit this and provide `generator`, open."""

import pytest

from processors.conformance import Check, title
from processors.conformance.generator import ASKED, CHECKS
from processors.ports import Generator

__all__ = ["ASKED", "GeneratorContract"]


class GeneratorContract:
    """Behaviour that does not depend on the model."""

    @pytest.mark.parametrize("check", CHECKS, ids=title)
    async def test_generator(self, generator: Generator, check: Check[Generator]) -> None:
        await check(generator)
