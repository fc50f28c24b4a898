"""Embed: chunks in, vectors out."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from processors.ports import Embedder, Index
from schemas import ChunksEmbedded, ChunksExtracted, DocumentDeleted


@dataclass(frozen=True, slots=True)
class Embed:
    """Give every chunk in a slice its vector, computing only those that the index does not have yet.

    A text's vector is looked up by its hash among the document's live chunks, so a changed line costs the chunks
    around it, and a change of metadata or readers alone costs nothing.
    """

    embedder: Embedder
    index: Index

    async def __call__(self, event: ChunksExtracted | DocumentDeleted, /) -> Sequence[ChunksEmbedded | DocumentDeleted]:
        if isinstance(event, DocumentDeleted):
            return [event]
        model, about = self.embedder.model, event.document
        texts = {chunk.text_hash: chunk.text for chunk in event.chunks}
        vectors = dict(await self.index.vectors(about.tenant, about.document_id, list(texts), model=model))
        missing = [text_hash for text_hash in texts if text_hash not in vectors]
        if missing:
            computed = await self.embedder.embed([texts[text_hash] for text_hash in missing], role="passage")
            vectors.update(zip(missing, computed, strict=True))
        rows = np.asarray([vectors[chunk.text_hash] for chunk in event.chunks], dtype="<f4")
        return [
            ChunksEmbedded.after(
                event,
                model=model,
                dimensions=self.embedder.dimensions,
                vectors=rows.tobytes(),
                embedded=len(missing),
            )
        ]
