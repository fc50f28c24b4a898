"""What a Milvus can be asked: searches, rows, collections and their aliases."""

import asyncio
import math
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import numpy as np

from processors.backends.milvus.connection import MilvusConnection
from processors.backends.milvus.schema import (
    MODEL_PROPERTY,
    Index,
    Sets,
    Words,
    chunks_schema,
    heads_schema,
    search_parameters,
)
from processors.errors import Poison, Transient
from processors.ports import Vectors

LOAD_TIMEOUT_S = 60.0
MAX_ROWS = 16_384
"""What a Milvus query returns at most."""
CREATION_POLLS, CREATION_POLL_S = 20, 0.1

Row = dict[str, Any]


class MilvusClient(MilvusConnection):
    """One server's answers, checked for their shape; everything raises Transient or Poison only."""

    async def hybrid_search(
        self,
        collection: str,
        *,
        vector: Vectors,
        words: str | Mapping[int, float],
        index: str,
        expression: str,
        limit: int,
        fields: Sequence[str],
        **consistency: Any,
    ) -> Sequence[Row]:
        """The union of the `limit` nearest vectors and the `limit` best texts, the score of the words as `distance`.

        Weight 0 for the dense route and no normalisation leave the exact score of the words (0 where only the vector
        is near); the dense score is exact too, from the returned vector. Milvus returns one fused score and nothing
        else.
        """
        near = {"metric_type": "COSINE", "params": search_parameters(index, limit)}
        alike = {"metric_type": "BM25" if isinstance(words, str) else "IP"}
        requests = [
            self._pymilvus.AnnSearchRequest([vector], "dense", near, limit, expression),
            self._pymilvus.AnnSearchRequest([words], "sparse", alike, limit, expression),
        ]
        ranker = self._pymilvus.WeightedRanker(0.0, 1.0, norm_score=False)
        options = {"output_fields": list(fields), **consistency}
        found = await self.call("hybrid_search", collection, requests, ranker, 2 * limit, **options)
        return self._hits(found, vector, fields)

    async def dense_search(
        self,
        collection: str,
        *,
        vector: Vectors,
        index: str,
        expression: str,
        limit: int,
        fields: Sequence[str],
        **consistency: Any,
    ) -> Sequence[Row]:
        """The `limit` nearest vectors."""
        near = {"metric_type": "COSINE", "params": search_parameters(index, limit)}
        options = {"anns_field": "dense", "search_params": near, "filter": expression, **consistency}
        found = await self.call("search", collection, [vector], limit=limit, output_fields=list(fields), **options)
        hits = self._hits(found, vector, fields)
        for hit in hits:
            hit.pop("distance")  # of the vectors, and no score of words
        return hits

    async def query(
        self, collection: str, expression: str, fields: Sequence[str], *, limit: int, **consistency: Any
    ) -> list[Row]:
        """Rows that match, no more than `limit`, each with these fields."""
        options = {"filter": expression, "limit": limit, "output_fields": list(fields), **consistency}
        rows = list(await self.call("query", collection, **options))
        self._complete(rows, fields)
        return rows

    def _hits(self, found: Sequence[Any], vector: Vectors, fields: Sequence[str]) -> list[Row]:
        """Of the one search that was asked for, with numbers that can be compared; `dense` is an array."""
        if len(found) != 1:
            raise self._nonsense(f"{len(found)} results for one search")
        rows = [{**hit["entity"], "id": hit["id"], "distance": hit["distance"]} for hit in found[0]]
        self._complete(rows, fields)
        for row in rows:
            dense = row["dense"] = np.asarray(row["dense"], np.float32)
            if dense.shape != vector.shape:
                raise self._nonsense(f"a vector of {dense.size} numbers in place of {vector.size}")
            if not (np.isfinite(dense).all() and math.isfinite(row["distance"])):
                raise self._nonsense("a vector or score that is not finite")
        return rows

    def _complete(self, rows: Sequence[Row], fields: Sequence[str]) -> None:
        if rows and (missing := set(fields) - rows[0].keys()):  # it answers by columns
            raise self._nonsense(f"rows without {min(missing)!r}")

    def _nonsense(self, gave: str) -> Transient:
        return Transient(f"milvus at {self.uri}: gave {gave}: is it Milvus, or what stands between? see its log")

    async def upsert(self, collection: str, rows: Sequence[Row]) -> None:
        written = (await self.call("upsert", collection, rows))["upsert_count"]
        if written != len(rows):
            raise Transient(f"milvus at {self.uri}: upsert: took {written} of {len(rows)} rows: see the server's log")

    async def exists(self, collection: str) -> bool:
        return bool(await self.call("has_collection", collection))

    async def describe(self, collection: str) -> Mapping[str, Any]:
        """Of the collection behind an alias; `collection_name` is the name of that collection."""
        described: Mapping[str, Any] = await self.call("describe_collection", collection)
        return described

    async def indexed(self, collection: str) -> dict[str, Mapping[str, Any]]:
        """The indexes that are there, by field."""
        names = await self.call("list_indexes", collection)
        described = [await self.call("describe_index", collection, name) for name in names]
        return {index["field_name"]: index for index in described if index}

    async def load(self, collection: str, wanted: Mapping[str, Index]) -> None:
        """Make a collection searchable: index what whoever created it did not come to, and load it.

        A collection is not loaded after a restart of the server.
        """
        there = await self.call("list_indexes", collection)
        missing = wanted.keys() - set(there)
        # At once: pymilvus waits half a second for each.
        await asyncio.gather(*(self._index(collection, field, *wanted[field]) for field in missing))
        await self.call("load_collection", collection, timeout_s=LOAD_TIMEOUT_S)

    async def keeps_functions(self, beside: str) -> bool:
        """Whether a BM25 function survives the creation of a collection; tried on one of its own, which goes again."""
        trial = f"{beside}_trial_{uuid.uuid4().hex[:8]}"
        schema = chunks_schema(self._pymilvus, dimensions=2, words="bm25", sets="text")
        await self.call("create_collection", trial, schema=schema)
        try:
            return bool((await self.describe(trial)).get("functions"))
        finally:
            await self.call("drop_collection", trial)

    async def create_chunks(
        self, collection: str, *, model: str, dimensions: int, words: Words, sets: Sets, shards: int, partitions: int
    ) -> None:
        schema = chunks_schema(self._pymilvus, dimensions=dimensions, words=words, sets=sets)
        await self.create(collection, schema, {MODEL_PROPERTY: model}, shards=shards, partitions=partitions)

    async def create_heads(self, collection: str, *, shards: int, partitions: int) -> None:
        await self.create(collection, heads_schema(self._pymilvus), {}, shards=shards, partitions=partitions)

    async def create(
        self, collection: str, schema: Any, properties: Mapping[str, str], *, shards: int, partitions: int
    ) -> None:
        """Create a collection; harmless when another worker does the same."""
        options: dict[str, Any] = {"num_shards": shards, "num_partitions": partitions, "properties": dict(properties)}
        try:
            await self.call("create_collection", collection, schema=schema, consistency_level="Strong", **options)
        except (Transient, Poison) as error:
            await self._unless(lambda: self.exists(collection), error)

    async def give_alias(self, collection: str, alias: str) -> None:
        """Let `alias` name `collection` if it names none yet; harmless when another worker does the same."""
        try:
            await self.call("create_alias", collection, alias)
        except (Transient, Poison) as error:
            await self._unless(lambda: self.exists(alias), error)

    async def move_alias(self, alias: str, collection: str) -> None:
        """Let `alias` name `collection` from now on."""
        await self.call("alter_alias" if await self.exists(alias) else "create_alias", collection, alias)

    async def _unless(self, done: Callable[[], Awaitable[bool]], error: Transient | Poison) -> None:
        """Raise `error` unless somebody else brings about what was wanted."""
        for _ in range(CREATION_POLLS):  # the other one may not be done
            if await done():
                return
            await asyncio.sleep(CREATION_POLL_S)
        raise error

    async def _index(self, collection: str, field: str, kind: str, metric: str, params: Mapping[str, int]) -> None:
        index = self._client.prepare_index_params()
        index.add_index(field, index_name=field, index_type=kind, metric_type=metric, params=dict(params))
        try:
            await self.call("create_index", collection, index, timeout_s=LOAD_TIMEOUT_S)
        except (Transient, Poison):
            if field not in await self.call("list_indexes", collection):
                raise


def consistency(snapshot_s: float | None) -> dict[str, Any]:
    """Options of a read that sees at least what was written by `snapshot_s` (Unix time); none: all that is written.

    The latter waits for the server's next time tick, 200 to 400 ms.
    """
    if snapshot_s is None:
        return {"consistency_level": "Strong"}
    return {"consistency_level": "Customized", "guarantee_timestamp": int(max(0.0, snapshot_s) * 1000) << 18}
