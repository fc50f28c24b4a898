"""The only place that knows pymilvus: connecting, two schemas, and its errors in our words."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import Any

from processors.backends.deferred_pandas import pandas_deferred
from processors.errors import Poison, Transient
from processors.ports import Vectors

CALL_TIMEOUT_S = 10.0
LOAD_TIMEOUT_S = 60.0
MAX_VARCHAR_BYTES = 65_535
"""What a Milvus VARCHAR holds at most."""
MAX_ROWS = 16_384
"""What a Milvus query returns at most."""
MODEL_PROPERTY = "headwater.model"
"""A collection's property with the fingerprint of the model that all its vectors come from."""

INDEXES: Mapping[str, tuple[str, str, Mapping[str, int]]] = {
    "dense": ("HNSW", "COSINE", {"M": 16, "efConstruction": 128}),
    "sparse": ("SPARSE_INVERTED_INDEX", "BM25", {}),
    "anchor": ("FLAT", "L2", {}),
}
"""Kind, metric and parameters by field."""
CREATION_POLLS, CREATION_POLL_S = 20, 0.1

RATE_LIMIT, FORCE_DENY, NOT_FOUND, NOT_LOADED = 8, 9, 100, 101
BAD_INPUT = frozenset({6, 1100, 1101})
"""Illegal argument in Milvus Lite; parameter invalid and missing in a cluster."""

Row = dict[str, Any]


class MilvusClient:
    """An asynchronous connection whose calls have a timeout and raise Transient or Poison only."""

    def __init__(self, uri: str, *, token: str) -> None:
        self.uri = uri
        self._token = token
        self._client: Any = None
        self._pymilvus: Any = None
        self.version = ""

    async def open(self) -> None:
        with pandas_deferred():
            import pymilvus
        logging.getLogger("pymilvus").setLevel(logging.CRITICAL)  # it logs a traceback per failed attempt
        self._pymilvus = pymilvus
        # Servers close a connection that pings them while idle more often than every five minutes.
        quiet = {"grpc.keepalive_permit_without_calls": False}
        self._client = pymilvus.AsyncMilvusClient(uri=self.uri, token=self._token, grpc_options=quiet)
        self.version = str(await self.call("get_server_version"))

    async def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    @property
    def is_lite(self) -> bool:
        return "lite" in self.version

    async def call(self, method: str, *arguments: Any, timeout_s: float = CALL_TIMEOUT_S, **options: Any) -> Any:
        """What pymilvus' `method` returns."""
        import grpc

        try:
            return await getattr(self._client, method)(*arguments, timeout=timeout_s, **options)
        except self._pymilvus.MilvusException as error:
            raise self._translated(error, method) from error
        except (grpc.RpcError, OSError) as error:
            raise Transient(f"milvus at {self.uri}: {method}: {error or type(error).__name__}") from error

    async def hybrid_search(
        self, collection: str, *, vector: Vectors, text: str, expression: str, limit: int, fields: Sequence[str]
    ) -> Sequence[Row]:
        """The union of the `limit` nearest vectors and the `limit` best texts, each with its BM25 score as `distance`.

        Weight 0 for the dense route and no normalisation leave the exact BM25 score (0 where only the vector is near);
        the dense score is exact too, from the returned vector. Milvus returns one fused score and nothing else.
        """
        requests = [
            self._pymilvus.AnnSearchRequest(
                [vector], "dense", {"metric_type": "COSINE", "params": {"ef": max(64, 2 * limit)}}, limit, expression
            ),
            self._pymilvus.AnnSearchRequest([text], "sparse", {"metric_type": "BM25"}, limit, expression),
        ]
        ranker = self._pymilvus.WeightedRanker(0.0, 1.0, norm_score=False)
        found = await self.call("hybrid_search", collection, requests, ranker, 2 * limit, output_fields=list(fields))
        return [{**hit["entity"], "id": hit["id"], "distance": hit["distance"]} for hit in found[0]]

    async def exists(self, collection: str) -> bool:
        return bool(await self.call("has_collection", collection))

    async def load(self, collection: str) -> None:
        """Make a collection searchable: index what whoever created it did not come to, and load it.

        A collection is not loaded after a restart of the server.
        """
        indexed = await self.call("list_indexes", collection)
        described = await self.call("describe_collection", collection)
        wanted = {field["name"] for field in described["fields"]} & INDEXES.keys() - set(indexed)
        # At once: pymilvus waits half a second for each.
        await asyncio.gather(*(self._index(collection, field, *INDEXES[field]) for field in wanted))
        await self.call("load_collection", collection, timeout_s=LOAD_TIMEOUT_S)

    async def model(self, collection: str) -> tuple[str, int]:
        """Fingerprint and dimensions that a collection of chunks was created for."""
        described = await self.call("describe_collection", collection)
        dense = next(field for field in described["fields"] if field["name"] == "dense")
        return str(described["properties"].get(MODEL_PROPERTY, "")), int(dense["params"]["dim"])

    async def create_chunks(self, collection: str, *, model: str, dimensions: int) -> None:
        await self._create(collection, self._chunks_schema(dimensions), {MODEL_PROPERTY: model})

    async def create_heads(self, collection: str) -> None:
        await self._create(collection, self._heads_schema(), {})

    async def _create(self, collection: str, schema: Any, properties: Mapping[str, str]) -> None:
        """Create a collection; harmless when another worker does the same."""
        options: dict[str, Any] = {"properties": dict(properties), "consistency_level": "Strong"}
        try:
            await self.call("create_collection", collection, schema=schema, **options)
        except (Transient, Poison):
            for _ in range(CREATION_POLLS):  # the other one may not be done
                if await self.exists(collection):
                    return
                await asyncio.sleep(CREATION_POLL_S)
            raise

    async def _index(self, collection: str, field: str, kind: str, metric: str, params: Mapping[str, int]) -> None:
        index = self._client.prepare_index_params()
        index.add_index(field, index_name=field, index_type=kind, metric_type=metric, params=dict(params))
        try:
            await self.call("create_index", collection, index)
        except (Transient, Poison):
            if field not in await self.call("list_indexes", collection):
                raise

    def _chunks_schema(self, dimensions: int) -> Any:
        kind = self._pymilvus.DataType
        schema = self._schema(
            texts=("digest", "text_hash", "section", "title", "metadata", "readers", "labels"),
            numbers=("ordinal", "page", "start", "end", "embedded"),
        )
        schema.add_field("text", kind.VARCHAR, max_length=MAX_VARCHAR_BYTES, enable_analyzer=True)
        schema.add_field("dense", kind.FLOAT_VECTOR, dim=dimensions)
        schema.add_field("sparse", kind.SPARSE_FLOAT_VECTOR)
        bm25 = self._pymilvus.Function(
            name="bm25",
            function_type=self._pymilvus.FunctionType.BM25,
            input_field_names=["text"],
            output_field_names=["sparse"],
        )
        schema.add_function(bm25)
        return schema

    def _heads_schema(self) -> Any:
        schema = self._schema(
            texts=("digest", "model", "title", "media_type", "published_at"),
            numbers=("rows_version", "previous_rows_version", "flipped_at_us", "chunk_count"),
        )
        # Milvus refuses a collection without a vector.
        schema.add_field("anchor", self._pymilvus.DataType.FLOAT_VECTOR, dim=2)
        return schema

    def _schema(self, *, texts: Sequence[str], numbers: Sequence[str]) -> Any:
        kind = self._pymilvus.DataType
        schema = self._client.create_schema(auto_id=False, enable_dynamic_field=False)
        schema.add_field("id", kind.VARCHAR, max_length=64, is_primary=True)
        schema.add_field("tenant", kind.VARCHAR, max_length=64, is_partition_key=True)
        schema.add_field("document", kind.VARCHAR, max_length=64)
        schema.add_field("version", kind.INT64)
        for name in ("document_id", *texts):
            schema.add_field(name, kind.VARCHAR, max_length=MAX_VARCHAR_BYTES)
        for name in numbers:
            schema.add_field(name, kind.INT64)
        return schema

    def _translated(self, error: Any, method: str) -> Poison | Transient:
        said = f"milvus at {self.uri}: {method}: {error.message} (code {error.code})"
        if error.code == NOT_FOUND:
            return CollectionMissing(said)
        if error.code == NOT_LOADED:
            return NotLoaded(said)
        client_side = type(error) is not self._pymilvus.MilvusException and error.code not in (RATE_LIMIT, FORCE_DENY)
        bad_input = error.code in BAD_INPUT or error.is_input_error or client_side
        unavailable = "server unavailable" in error.message or isinstance(
            error, self._pymilvus.MilvusUnavailableException
        )
        if unavailable:
            return Transient(f"{said}: is it running, and does the index URL name it?")
        return Poison("index-refused", said) if bad_input else Transient(said)


class CollectionMissing(Transient):
    """The collection was dropped behind our back; the next write creates it again."""


class NotLoaded(Transient):
    """The server restarted and has not loaded the collection."""
