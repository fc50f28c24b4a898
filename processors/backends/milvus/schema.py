"""What a Milvus server can do, and what a collection of ours consists of."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

MAX_VARCHAR_BYTES = 65_535
"""What a Milvus VARCHAR holds at most."""
MAX_SET = 4_096
"""What a Milvus ARRAY holds at most."""
MODEL_PROPERTY = "headwater.model"
"""A collection's property with the fingerprint of the model that all its vectors come from."""

Words = Literal["bm25", "encoder", "none"]
"""Who weighs words: a function of the server, an encoder of ours, nobody."""
Sets = Literal["text", "array"]
"""How a set of tokens is stored: Milvus Lite evaluates arrays row by row (1.2 s over 50,000 rows) and texts in bulk;
a server evaluates both in bulk, and before 2.4 finds nothing inside a text."""

CHUNK_TEXTS = ("digest", "text_hash", "section", "title", "metadata")
CHUNK_NUMBERS = ("ordinal", "page", "start", "end", "embedded")
CHUNK_SETS = ("readers", "labels")
HEAD_TEXTS = ("digest", "model", "title", "media_type", "published_at")
HEAD_NUMBERS = ("rows_version", "previous_rows_version", "flipped_at_us", "chunk_count")

Index = tuple[str, str, Mapping[str, int]]
"""Kind, metric and parameters."""


@dataclass(frozen=True, slots=True)
class Form:
    """How rows are stored and found."""

    sets: Sets
    routed: bool
    """Whether a tenant's rows lie in its partition: before 2.4 an upsert chooses it by the primary key instead, and a
    read by tenant misses them (https://github.com/milvus-io/milvus/pull/30772)."""


@dataclass(frozen=True, slots=True)
class Server:
    """What is known of a server from the version that it reports."""

    version: str

    @property
    def is_lite(self) -> bool:
        return self.version.startswith("milvus_lite")  # the standalone of the `milvus` wheel says v2.3.5-lite

    @property
    def numbers(self) -> tuple[int, int] | None:
        """Major and minor; none for a build that names a branch or a commit."""
        found = None if self.is_lite else re.match(r"v?(\d+)\.(\d+)", self.version)
        return (int(found[1]), int(found[2])) if found else None

    @property
    def has_sparse(self) -> bool:
        """Sparse vectors and hybrid search, since 2.4."""
        return self.numbers is None or self.numbers >= (2, 4)

    @property
    def has_bm25(self) -> bool | None:
        """Since 2.5; none: ask it. An older server creates the collection and drops the function in silence."""
        return True if self.is_lite else None if self.numbers is None else self.numbers >= (2, 5)

    @property
    def adds_fields(self) -> bool:
        """To a collection that is there, since 2.6."""
        return not self.is_lite and self.numbers is not None and self.numbers >= (2, 6)

    @property
    def form(self) -> Form:
        return Form("text" if self.is_lite else "array", routed=self.has_sparse)

    @property
    def keyword_index(self) -> str:
        """Kind of index over identifiers; none in Milvus Lite, which ignores it, and where it would be a Trie.

        With that, 2.3.5 finds no row that it has not yet sealed.
        """
        return "INVERTED" if self.has_sparse and not self.is_lite else ""


@dataclass(frozen=True, slots=True)
class Shape:
    """A collection of chunks as it is on the server."""

    physical: str
    """The name behind the alias."""
    model: str
    dimensions: int
    words: Words
    sets: Sets
    index: str
    """Kind of the index over the vectors; empty while there is none."""
    fields: frozenset[str]
    shards: int
    partitions: int

    @classmethod
    def of(cls, described: Mapping[str, Any], index: str) -> "Shape":
        fields = {field["name"]: field for field in described["fields"]}
        functions = described.get("functions") or ()
        if "sparse" not in fields:
            words: Words = "none"
        else:
            words = "bm25" if functions else "encoder"
        return cls(
            physical=str(described["collection_name"]),
            model=str(described["properties"].get(MODEL_PROPERTY, "")),
            dimensions=int(fields["dense"]["params"]["dim"]),
            words=words,
            sets="array" if fields["readers"]["type"].name == "ARRAY" else "text",
            index=index,
            fields=frozenset(fields),
            shards=int(described.get("num_shards") or 1),
            partitions=int(described.get("num_partitions") or 1),
        )


def chunks_schema(pymilvus: Any, *, dimensions: int, words: Words, sets: Sets) -> Any:
    kind = pymilvus.DataType
    schema = _schema(pymilvus, CHUNK_TEXTS, CHUNK_NUMBERS)
    for name in CHUNK_SETS:
        if sets == "text":
            schema.add_field(name, kind.VARCHAR, max_length=MAX_VARCHAR_BYTES)
        else:
            schema.add_field(name, kind.ARRAY, element_type=kind.VARCHAR, max_capacity=MAX_SET, max_length=64)
    schema.add_field("text", kind.VARCHAR, max_length=MAX_VARCHAR_BYTES, enable_analyzer=words == "bm25")
    schema.add_field("dense", kind.FLOAT_VECTOR, dim=dimensions)
    if words != "none":
        schema.add_field("sparse", kind.SPARSE_FLOAT_VECTOR)
    if words == "bm25":
        schema.add_function(
            pymilvus.Function(
                name="bm25",
                function_type=pymilvus.FunctionType.BM25,
                input_field_names=["text"],
                output_field_names=["sparse"],
            )
        )
    return schema


def heads_schema(pymilvus: Any) -> Any:
    schema = _schema(pymilvus, HEAD_TEXTS, HEAD_NUMBERS)
    schema.add_field("anchor", pymilvus.DataType.FLOAT_VECTOR, dim=2)  # Milvus refuses a collection without a vector
    return schema


def indexes(fields: frozenset[str], words: Words, dense: Index, server: Server) -> dict[str, Index]:
    """The indexes that a collection with these fields needs, by field."""
    wanted: dict[str, Index] = {
        "dense": dense,
        "sparse": ("SPARSE_INVERTED_INDEX", "BM25" if words == "bm25" else "IP", {}),
        "anchor": ("FLAT", "L2", {}),
    }
    if server.keyword_index:
        wanted["document"] = (server.keyword_index, "", {})
    return {field: index for field, index in wanted.items() if field in fields}


def search_parameters(index: str, limit: int) -> dict[str, int]:
    """How hard a search by vector tries, in the words of the index; the server's default where we know none."""
    if index.startswith("HNSW"):
        return {"ef": max(64, 2 * limit)}
    if index.startswith("IVF"):
        return {"nprobe": 32}
    if index == "DISKANN":
        return {"search_list": max(100, 2 * limit)}
    return {}


def _schema(pymilvus: Any, texts: Sequence[str], numbers: Sequence[str]) -> Any:
    kind = pymilvus.DataType
    schema = pymilvus.MilvusClient.create_schema(auto_id=False, enable_dynamic_field=False)
    schema.add_field("id", kind.VARCHAR, max_length=64, is_primary=True)
    schema.add_field("tenant", kind.VARCHAR, max_length=64, is_partition_key=True)
    schema.add_field("document", kind.VARCHAR, max_length=64)
    schema.add_field("version", kind.INT64)
    for name in ("document_id", *texts):
        schema.add_field(name, kind.VARCHAR, max_length=MAX_VARCHAR_BYTES)
    for name in numbers:
        schema.add_field(name, kind.INT64)
    return schema
