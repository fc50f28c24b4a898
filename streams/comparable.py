"""Whether the embedder's vectors can be compared with those that the index holds."""

from processors.errors import Poison
from processors.ports import Embedder, Index


async def check_comparable(embedder: Embedder, index: Index, *, address: str) -> None:
    """Both must be open. Raises Poison `model-mismatch`, which is cheaper at a start than for each document."""
    stored = await index.model()
    if stored not in (None, embedder.model):
        raise Poison(
            "model-mismatch",
            f"the embedder's model is {embedder.model!r}, and the vectors in {address} come from {stored!r}: "
            "set `embedder` back, or name a new collection in `index` and ingest again",
        )
