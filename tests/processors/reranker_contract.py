"""What every Reranker must do. A backend's tests inherit this and provide `reranker`, open."""

import pytest

from processors.conformance import Check, title
from processors.conformance.reranker import CHECKS
from processors.ports import Reranker


class RerankerContract:
    """Behaviour that does not depend on the model."""

    @pytest.mark.parametrize("check", CHECKS, ids=title)
    async def test_reranker(self, reranker: Reranker, check: Check[Reranker]) -> None:
        await check(reranker)
