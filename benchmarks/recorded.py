"""What the Milvus adapter calls of pymilvus, recorded and done again without the adapter."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

from processors.backends.milvus.index import MilvusIndex

WRITES = ("upsert", "flush")
SEARCHES = ("search", "hybrid_search")


@dataclass(frozen=True, slots=True)
class Call:
    """One call of an AsyncMilvusClient."""

    method: str
    arguments: tuple[Any, ...]
    options: dict[str, Any]


class Recorder:
    """Stands between an open adapter and pymilvus; reads pass, writes are kept back."""

    def __init__(self, index: MilvusIndex) -> None:
        self._inner = index._client
        self._pymilvus = self._inner._client
        self._calls: list[Call] = []
        # Milvus Lite does not promise more than one writer; a cluster takes as many as there are.
        self._writing = asyncio.Semaphore(1 if self._inner.server.is_lite else 1_000)

    async def record(self, act: Callable[[], Awaitable[object]]) -> Sequence[Call]:
        """The calls that the adapter makes in `act`."""
        self._calls = []
        self._inner._client = self
        try:
            await act()
        finally:
            self._inner._client = self._pymilvus
        return self._calls

    async def replay(self, calls: Sequence[Call]) -> None:
        """The same calls, as a program without the adapter makes them, which looks at what it finds."""
        for call in calls:
            async with self._writing if call.method in WRITES else nullcontext():
                answer = await getattr(self._pymilvus, call.method)(*call.arguments, **call.options)
            if call.method in SEARCHES:  # pymilvus reads a hit's fields when they are asked for
                [dict(hit["entity"]) for hits in answer for hit in hits]

    def __getattr__(self, method: str) -> Callable[..., Awaitable[Any]]:
        async def call(*arguments: Any, **options: Any) -> Any:
            self._calls.append(Call(method, arguments, options))
            if method in WRITES:
                return {"upsert_count": len(arguments[1])} if method == "upsert" else {}
            return await getattr(self._pymilvus, method)(*arguments, **options)

        return call
