"""Two collections in Milvus behind aliases: created on the first write, loaded when needed, of one embedding model."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

from processors.backends.milvus.client import MilvusClient
from processors.backends.milvus.schema import Form, Shape, Words, indexes
from processors.errors import Poison
from processors.index_plan import Layout

SHAPE_S = 10.0
"""How long a worker may go on without noticing that `headwater index apply` has built the collection anew."""


@dataclass(frozen=True, slots=True)
class Model:
    fingerprint: str
    dimensions: int

    def __str__(self) -> str:
        return f"{self.fingerprint!r} ({self.dimensions} dimensions)"


class MilvusCollections:
    """The collections `chunks` and `heads`, two aliases of what `NAME_v1`, `NAME_v2`, ... hold."""

    def __init__(self, client: MilvusClient, name: str, *, layout: Callable[[int], Layout], has_encoder: bool) -> None:
        self.chunks = name
        self.heads = f"{name}_heads"
        self.client = client
        self._layout = layout
        self._has_encoder = has_encoder
        self._loaded: set[str] = set()
        self._shape: Shape | None = None
        self._shape_until = 0.0
        self._creating = asyncio.Lock()

    @property
    def shape(self) -> Shape:
        """Of the chunks; known once they exist."""
        assert self._shape is not None, "ask `exists` first"
        return self._shape

    @property
    def form(self) -> Form:
        """Of the rows that are there, or that will be."""
        usual = self.client.server.form
        return Form(self._shape.sets, usual.routed) if self._shape else usual

    @property
    def model(self) -> Model:
        return Model(self.shape.model, self.shape.dimensions)

    @property
    def loaded(self) -> tuple[str, ...]:
        return tuple(self._loaded)

    async def exists(self, collection: str) -> bool:
        """Whether anything was written to the collection yet; if so, it is loaded now."""
        if collection in self._loaded:
            if collection == self.chunks and time.monotonic() > self._shape_until:
                await self._look_again()
            return collection in self._loaded
        if not await self.client.exists(collection):
            return False
        await self.load(collection)
        return True

    def match(self, given: Model) -> None:
        """Refuse vectors that cannot be compared with those in the collection."""
        if given != self.model:
            raise Poison(
                "model-mismatch",
                f"{given} cannot share collection {self.chunks!r} with vectors of {self.model}: "
                "set the embedder back, or name a new collection in the index URL and ingest again",
            )

    async def prepare_chunks(self, model: Model) -> None:
        """Create the collection of chunks unless it is there."""
        if not (self.chunks in self._loaded and await self.exists(self.chunks)):
            async with self._creating:
                if not await self.exists(self.chunks):
                    first = f"{self.chunks}_v1"
                    await self.create_chunks(first, model, await self.words(), self._layout(model.dimensions))
                    await self.client.give_alias(first, self.chunks)
                    await self.exists(self.chunks)
        self.match(model)

    async def prepare_heads(self) -> None:
        """Create the collection of heads unless it is there."""
        if self.heads in self._loaded:
            return
        async with self._creating:
            if not await self.exists(self.heads):
                first = f"{self.heads}_v1"
                await self.create_heads(first, self._layout(self.shape.dimensions if self._shape else 2))
                await self.client.give_alias(first, self.heads)
                await self.exists(self.heads)

    async def create_chunks(self, physical: str, model: Model, words: Words, layout: Layout) -> None:
        await self.client.create_chunks(
            physical,
            model=model.fingerprint,
            dimensions=model.dimensions,
            words=words,
            sets=self.client.server.form.sets,
            shards=layout.shards,
            partitions=layout.partitions,
        )

    async def create_heads(self, physical: str, layout: Layout) -> None:
        await self.client.create_heads(physical, shards=layout.shards, partitions=layout.partitions)

    async def words(self) -> Words:
        """Who will weigh words in a collection that is created now."""
        server = self.client.server
        if server.has_bm25 or (server.has_bm25 is None and await self.client.keeps_functions(self.chunks)):
            return "bm25"
        return "encoder" if self._has_encoder and server.has_sparse else "none"

    async def load(self, collection: str) -> None:
        """Index and load a collection, by alias or name."""
        described = await self.client.describe(collection)
        fields = frozenset(field["name"] for field in described["fields"])
        shape = Shape.of(described, "") if "dense" in fields else None
        dense = self._layout(shape.dimensions).index if shape else ("", "", {})
        await self.client.load(collection, indexes(fields, shape.words if shape else "none", dense, self.client.server))
        if collection == self.chunks:
            await self._take_shape()
        self._loaded.add(collection)

    async def reload(self) -> None:
        """After a restart of the server, which loads nothing by itself."""
        for collection in self.loaded:
            await self.load(collection)

    def forget(self) -> None:
        """Look at the server before the next call."""
        self._loaded.clear()

    async def was_rebuilt(self) -> bool:
        """Whether the chunks live in another collection than when we last looked."""
        before = self._shape
        self._shape_until = 0.0
        return before is not None and await self.exists(self.chunks) and self.shape != before

    async def drop(self) -> None:
        """Harmless where there is nothing."""
        for collection in (self.chunks, self.heads):
            if await self.client.exists(collection):
                physical = str((await self.client.describe(collection))["collection_name"])
                if physical != collection:
                    await self.client.call("drop_alias", collection)
                await self.client.call("drop_collection", physical)
            self._loaded.discard(collection)

    async def _look_again(self) -> None:
        self._shape_until = time.monotonic() + SHAPE_S  # first: others need not look at the same time
        if not await self.client.exists(self.chunks):
            self.forget()
        elif Shape.of(await self.client.describe(self.chunks), self.shape.index) != self.shape:
            self.forget()
            await self.load(self.chunks)

    async def _take_shape(self) -> None:
        described = await self.client.describe(self.chunks)
        index = (await self.client.indexed(self.chunks)).get("dense", {}).get("index_type", "")
        self._shape, self._shape_until = Shape.of(described, str(index)), time.monotonic() + SHAPE_S
