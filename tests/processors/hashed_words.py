"""An embedder whose model is a hash function: texts that share words have near vectors."""

import hashlib
import re
from collections.abc import Sequence

import numpy as np

from processors.ports import Role, Vectors


class HashedWords:
    """A bag of hashed words. It counts what it was asked, for tests of what is not embedded again."""

    def __init__(self, *, model: str = "hashed-words", dimensions: int = 64) -> None:
        self.model = model
        self.dimensions = dimensions
        self.texts: list[str] = []

    async def open(self) -> None:
        pass

    async def close(self) -> None:
        pass

    async def check(self) -> str:
        return self.model

    async def embed(self, texts: Sequence[str], *, role: Role) -> Vectors:
        self.texts += texts
        rows = np.zeros((len(texts), self.dimensions), dtype=np.float32)
        for row, text in zip(rows, texts, strict=True):
            row[0] = 1e-3  # a text without a word has a direction too
            for word in re.findall(r"\w+", text.lower()):
                row[int.from_bytes(hashlib.blake2b(word.encode(), digest_size=4).digest()) % self.dimensions] += 1
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        return rows
