"""The only place that knows pymilvus: connecting, calling, and its errors in our words."""

import asyncio
import logging
import re
import ssl
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from processors.backends.http import Misdeployed
from processors.backends.milvus.deferred_pandas import pandas_deferred
from processors.backends.milvus.errors import CollectionMissing, handshake, of_server
from processors.backends.milvus.schema import (
    MODEL_PROPERTY,
    Index,
    Server,
    Sets,
    Words,
    chunks_schema,
    heads_schema,
    search_parameters,
)
from processors.errors import Poison, Transient
from processors.ports import Vectors

CALL_TIMEOUT_S = 10.0
LOAD_TIMEOUT_S = 60.0
MAX_ROWS = 16_384
"""What a Milvus query returns at most."""
CREATION_POLLS, CREATION_POLL_S = 20, 0.1

REFUSED_BY_CLIENT = frozenset({"ParamError", "DataNotMatchException", "DataTypeNotMatchException"})
"""Exceptions for what never left this process."""

NOT_GRPC = re.compile(r"failed parsing http/2(?!.*http status (429|5))", re.IGNORECASE)
"""Something that speaks HTTP/1, unless it says that it is a gateway whose server is busy or away."""

Row = dict[str, Any]


class MilvusClient:
    """An asynchronous connection whose calls have a timeout and raise Transient or Poison only."""

    def __init__(self, uri: str, *, token: str, database: str = "", ca_file: Path | None = None) -> None:
        self.uri = uri
        self.database = database
        self._token = token
        self._ca_file = str(ca_file) if ca_file and uri.startswith("https:") else ""
        self._client: Any = None
        self._pymilvus: Any = None
        self.server = Server("")

    async def open(self, database: str | None = None) -> None:
        """Connect to the database of the address, or to another one."""
        await self.close()
        with pandas_deferred():
            import pymilvus
        logging.getLogger("pymilvus").setLevel(logging.CRITICAL)  # it logs a traceback per failed attempt
        self._pymilvus = pymilvus
        # Servers close a connection that pings them while idle more often than every five minutes.
        options: dict[str, Any] = {"grpc_options": {"grpc.keepalive_permit_without_calls": False}}
        if self._ca_file:
            options["server_pem_path"] = self._ca_file
        self._client = pymilvus.AsyncMilvusClient(
            uri=self.uri, token=self._token, db_name=self.database if database is None else database, **options
        )
        try:
            self.server = Server(str(await self.call("get_server_version")))
            if self.database and database is None:
                await self.exists("any")  # or the first document would learn that there is no such database
        except Transient as error:
            if not isinstance(error, Misdeployed) and self.uri.startswith("https:"):
                await handshake(self.uri, self._ca_file or None)
            raise

    async def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    @property
    def types(self) -> Any:
        """pymilvus, for its schemas and requests."""
        return self._pymilvus

    async def call(self, method: str, *arguments: Any, timeout_s: float | None = None, **options: Any) -> Any:
        """What pymilvus' `method` returns."""
        import grpc

        if self._client is None:
            raise Transient(f"the index at {self.uri} is not open")
        timeout_s = CALL_TIMEOUT_S if timeout_s is None else timeout_s
        about = f"milvus at {self.uri}: {method}"
        try:
            async with asyncio.timeout(timeout_s + 1):  # pymilvus does not count the time that connecting takes
                return await getattr(self._client, method)(*arguments, timeout=timeout_s, **options)
        except self._pymilvus.MilvusException as error:
            if isinstance(error.__cause__, grpc.RpcError):  # it only says that connecting failed, and not why
                raise _of_transport(error.__cause__, about) from error
            said = f"{about}: {error.message} (code {error.code})"
            raise of_server(error, said, is_input=type(error).__name__ in REFUSED_BY_CLIENT) from error
        except grpc.RpcError as error:
            raise _of_transport(error, about) from error
        except TimeoutError as error:
            raise Transient(f"{about}: no answer in {timeout_s:.0f} s; is it overloaded or unreachable?") from error
        except (OSError, ssl.SSLError) as error:
            raise Transient(f"{about}: {str(error) or type(error).__name__}") from error

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
        return [{**hit["entity"], "id": hit["id"], "distance": hit["distance"]} for hit in self._hits(found)]

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
        return [{**hit["entity"], "id": hit["id"]} for hit in self._hits(found)]

    def _hits(self, found: Sequence[Any]) -> Any:
        """Of the one search that was asked for."""
        if len(found) != 1:
            said = f"milvus at {self.uri}: gave {len(found)} results for one search"
            raise Transient(f"{said}: is it Milvus, or what stands between?")
        return found[0]

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


def _of_transport(error: Any, about: str) -> Transient:
    code = getattr(error.code(), "name", "") if callable(getattr(error, "code", None)) else ""
    details = error.details() if callable(getattr(error, "details", None)) else str(error)
    said = f"{about}: {details} ({code or type(error).__name__})"
    match code:
        case "UNIMPLEMENTED":
            return Misdeployed("too-old", f"{said}: is this Milvus, and 2.4 or later?")
        case "UNAUTHENTICATED" | "PERMISSION_DENIED":
            return Misdeployed("unauthorized", f"{said}: correct index_token (USER:PASSWORD or an API key)")
        case "RESOURCE_EXHAUSTED":
            return Transient(f"{said}: the message is larger than the server takes, or it is overloaded")
        case _ if NOT_GRPC.search(said):
            return Misdeployed("bad-url", f"{said}: that is no Milvus; correct the index URL: port or server")
        case _:
            return Transient(f"{said}: is it running, and does the index URL name it?")


__all__ = ["MAX_ROWS", "CollectionMissing", "MilvusClient", "Row", "consistency"]
