"""What every Embedder must do. A backend's tests inherit this and provide `embedder`, open."""

import pytest

from processors.conformance import Check, title
from processors.conformance.embedder import CHECKS, ODD
from processors.ports import Embedder

__all__ = ["ODD", "EmbedderContract"]


class EmbedderContract:
    """Behaviour that does not depend on the model."""

    @pytest.mark.parametrize("check", CHECKS, ids=title)
    async def test_embedder(self, embedder: Embedder, check: Check[Embedder]) -> None:
        await check(embedder)
