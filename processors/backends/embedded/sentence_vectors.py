"""Vectors of sentences, remembered while they fit."""

import hashlib
from collections import OrderedDict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from processors.ports import Embedder, Role, Vectors

CACHE_BYTES = 32 * 1024 * 1024
"""About 20,000 sentences of 384 dimensions: the passages that are asked about most."""
ENTRY_BYTES = 128
"""What a key and its place in the cache take beside the vector."""


class SentenceVectors:
    """Compares questions with sentences; a sentence that was asked about lately costs nothing.

    The reranker and the extractor of one process share it, so that quoting costs no second embedding.
    """

    def __init__(self, embedder: Embedder, *, cache_bytes: int = CACHE_BYTES) -> None:
        self._embedder = embedder
        self._cache: OrderedDict[bytes, Vectors] = OrderedDict()
        self._cache_bytes = cache_bytes
        self._bytes = 0

    @property
    def model(self) -> str:
        return self._embedder.model

    async def open(self) -> None:
        await self._embedder.open()

    async def close(self) -> None:
        await self._embedder.close()

    async def check(self) -> str:
        return await self._embedder.check()

    async def compare(self, question: str, texts: Sequence[str]) -> tuple[NDArray[np.float64], Vectors]:
        """Each text's cosine with the question, and its vector."""
        asked = await self._vectors([question], role="query")
        vectors = await self._vectors(texts, role="passage")
        return (vectors @ asked[0]).astype(np.float64), vectors

    async def _vectors(self, texts: Sequence[str], *, role: Role) -> Vectors:
        keys = [hashlib.blake2b(f"{role}\n{text}".encode(errors="replace"), digest_size=16).digest() for text in texts]
        rows = {key: self._cache[key] for key in keys if key in self._cache}
        missing = {key: text for key, text in zip(keys, texts, strict=True) if key not in rows}
        if missing:
            fresh = await self._embedder.embed(list(missing.values()), role=role)
            rows |= dict(zip(missing, fresh, strict=True))
        self._remember(rows)
        return np.stack([rows[key] for key in keys])

    def _remember(self, rows: dict[bytes, Vectors]) -> None:
        for key, row in rows.items():
            if key not in self._cache:
                # A copy, or the row would keep the whole batch alive.
                self._cache[key] = row.copy()
                self._bytes += row.nbytes + ENTRY_BYTES
            self._cache.move_to_end(key)
        while self._bytes > self._cache_bytes:
            _, row = self._cache.popitem(last=False)
            self._bytes -= row.nbytes + ENTRY_BYTES
