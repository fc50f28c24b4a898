"""What every Index must do. A backend's tests inherit this and provide `index`, open, and `another`, which connects."""

from collections.abc import Callable, Sequence

import pytest

from processors.conformance import Check, title
from processors.conformance.documents import find, publish
from processors.conformance.index import CHECKS, Connected
from processors.conformance.shelf import HANDBOOK
from processors.ports import Index
from schemas import Passage

__all__ = ["HANDBOOK", "IndexContract", "find", "publish", "versions"]


class IndexContract:
    """Behaviour that does not depend on the backend."""

    @pytest.mark.parametrize("check", CHECKS, ids=title)
    async def test_index(self, index: Index, another: Callable[[], Index], check: Check[Connected]) -> None:
        await check(Connected(index, another))


def versions(passages: Sequence[Passage]) -> set[int]:
    return {passage.version for passage in passages}
