"""How an index should be laid out for what is expected of it, with the arithmetic."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from math import ceil, log2, sqrt
from typing import Literal, Protocol

TEXT_BYTES = 1_500
"""A chunk's text and section path with the default chunking, its ids and labels."""
WORDS_BYTES = 800
"""In the index of words: some 100 different ones in a chunk, 8 bytes for each."""
ROWS_PER_WRITER_S = 4_000
"""What one upserting worker writes at most: pymilvus in one Python process (`benchmarks/milvus_bulk.py`)."""

FLAT_ROWS = 20_000
"""Comparing them all takes a few milliseconds, and none is missed."""
HNSW_M, HNSW_EF_CONSTRUCTION = 16, 128
DISKANN_MEMORY = 0.225
"""Of the vectors: Milvus' PQCodeBudgetGBRatio 0.125 and SearchCacheBudgetGBRatio 0.1."""
DISKANN_DEGREE = 56
"""Milvus' MaxDegree: 4 bytes for each neighbour on the disk."""
HEAD_BYTES = 400
"""A row of the heads: ids, digests, title, names and numbers; it has one for each document and one for each version."""

SHARD_BYTES, SHARD_BYTES_S = 100 * 10**9, 500 * 10**6
"""Milvus' advice: one more shard for every 100 GB, and for every 500 MB/s that are written."""
MAX_SHARDS = 16
"""Milvus' proxy.maxShardNum."""
SEGMENT_BYTES = 2**30
"""Milvus' dataCoord.segment.maxSize; a partition with less than a segment in each shard makes small segments."""
MIN_PARTITIONS = 16
"""Milvus' default for a partition key."""
MAX_UNITS = 256
"""Shards times partitions: chunks and heads, twice while they are built anew, of the 1,024 that every server allows."""
GIB = 2**30


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What an index will have to hold and to bear."""

    rows: int = 100_000
    """Chunks of all tenants."""
    writers: int = 1
    """Workers with the stage `upsert`."""
    memory_gib: float = 16.0
    """Of all query nodes together, for this index."""

    def __post_init__(self) -> None:
        if self.rows < 1 or self.writers < 1 or self.memory_gib <= 0:
            raise ValueError(f"rows, writers and memory_gib must be positive: {self}")


@dataclass(frozen=True, slots=True)
class Layout:
    """How a collection is spread and indexed."""

    shards: int
    partitions: int
    index: tuple[str, str, Mapping[str, int]]
    """Kind, metric and parameters."""
    arithmetic: tuple[str, ...]
    """Line by line, for a person."""


How = Literal["apply", "rebuild", "drop", "hand"]
"""Done at once; copied into a new collection; old rows go for good; by a person."""


@dataclass(frozen=True, slots=True)
class Change:
    """One thing in which the index differs from what is wanted."""

    collection: str
    what: str
    """`database`, `create`, `alias`, `field`, `index`, `shards`, `partitions`, `words`, ..., `leftover`."""
    current: str
    """Empty: there is none."""
    wanted: str
    how: How

    def __str__(self) -> str:
        now = f" is {self.current}, should be" if self.current else ""
        return f"{self.collection}: {self.what}{now} {self.wanted}"

    def done(self) -> str:
        """The same, once it was made."""
        if self.what == "create":
            return f"{self.collection}: created {self.wanted}"
        before = f" was {self.current}, is now" if self.current else ""
        return f"{self.collection}: {self.what}{before} {self.wanted}"


@dataclass(frozen=True, slots=True)
class IndexPlan:
    """What there is, what should be, and why."""

    server: str
    layout: Layout
    changes: tuple[Change, ...]


class Provisioner(Protocol):
    """Creates and migrates what an index lives in. Raises Transient and Poison, as ports do."""

    async def open(self) -> None:
        """Connect."""
        ...

    async def close(self) -> None:
        """Release everything; harmless when repeated."""
        ...

    async def dimensions(self) -> int | None:
        """Of the vectors that are stored; none before the first write."""
        ...

    async def plan(self, expected: Expected, *, model: str, dimensions: int) -> IndexPlan:
        """What `apply` would do for vectors of this model, `""` where none is known; changes nothing."""
        ...

    async def apply(self, plan: IndexPlan, *, model: str, dimensions: int, hows: Collection[How]) -> Sequence[Change]:
        """Make those changes of a plan that are made in one of these ways; what is left then. May be repeated.

        Without `drop` nothing is lost: what was rebuilt stays beside what replaced it, with what is erased later.
        """
        ...


def layout(expected: Expected, dimensions: int) -> Layout:
    """The layout of a collection of so many rows with vectors of so many dimensions."""
    kind, params, lines = _index(expected, dimensions)
    shards, shard_lines = _shards(expected, dimensions)
    partitions, partition_lines = _partitions(expected, dimensions, shards)
    return Layout(shards, partitions, (kind, "COSINE", params), (*lines, *shard_lines, *partition_lines))


def vector_memory(rows: int, dimensions: int) -> Mapping[str, int]:
    """Bytes that the vectors take of the query nodes' memory, by kind of index; text and words come on top."""
    vectors = rows * dimensions * 4
    return {
        "FLAT": vectors,
        "HNSW": vectors + rows * (2 * HNSW_M * 4 + 4),
        "IVF_SQ8": rows * dimensions + _lists(rows, dimensions) * dimensions * 4,
        "DISKANN": round(vectors * DISKANN_MEMORY),
    }


def text_memory(rows: int) -> int:
    """Bytes that all but the vectors takes of it: text, ids, and the index of words."""
    return rows * (TEXT_BYTES + WORDS_BYTES)


def vector_disk(rows: int, dimensions: int) -> int:
    """Bytes of the query nodes' NVMe disks that DISKANN takes."""
    return rows * (dimensions * 4 + DISKANN_DEGREE * 4)


def _lists(rows: int, dimensions: int) -> int:
    return max(16, round(4 * sqrt(min(rows, SEGMENT_BYTES // (4 * dimensions)))))


def _index(expected: Expected, dimensions: int) -> tuple[str, Mapping[str, int], list[str]]:
    rows, vectors = expected.rows, expected.rows * dimensions * 4
    others, needs = text_memory(rows), vector_memory(rows, dimensions)
    lists = _lists(rows, dimensions)
    params: Mapping[str, Mapping[str, int]] = {
        "FLAT": {},
        "HNSW": {"M": HNSW_M, "efConstruction": HNSW_EF_CONSTRUCTION},
        "IVF_SQ8": {"nlist": lists},
        "DISKANN": {},
    }
    room = expected.memory_gib * GIB - others
    kinds = ("FLAT",) if rows <= FLAT_ROWS else ("HNSW", "IVF_SQ8", "DISKANN")
    kind = next((kind for kind in kinds if needs[kind] <= room), kinds[-1])
    lines = [
        f"vectors      {rows:,} rows x {dimensions} dimensions x 4 B = {_gib(vectors)}",
        f"text, words  {rows:,} rows x ({TEXT_BYTES:,} + {WORDS_BYTES}) B = {_gib(others)}",
        f"room         {expected.memory_gib:g} GiB of the query nodes - {_gib(others)} = {_gib(room)} for the vectors",
    ]
    explained = {
        "FLAT": f"FLAT         {rows:,} rows <= {FLAT_ROWS:,}: compare them all",
        "HNSW": f"HNSW         vectors + {rows:,} x (2 x M={HNSW_M} x 4 + 4) B of links = {_gib(needs['HNSW'])}",
        "IVF_SQ8": f"IVF_SQ8      {rows:,} x {dimensions} x 1 B + {lists} centres = {_gib(needs['IVF_SQ8'])}",
        "DISKANN": f"DISKANN      vectors x {DISKANN_MEMORY} = {_gib(needs['DISKANN'])}, and "
        f"{_gib(vector_disk(rows, dimensions))} on the nodes' NVMe disks",
    }
    tried = kinds[: kinds.index(kind) + 1]
    lines += [f"{explained[each]}: {'chosen' if each == kind else 'does not fit'}" for each in tried]
    if needs[kind] > room:
        lacks = f"needs {_gib(others + needs[kind])} of the {expected.memory_gib:g} GiB"
        lines.append(f"WARNING      {kind} {lacks}: add query nodes, or map the text to disk (mmap)")
    return kind, params[kind], lines


def _shards(expected: Expected, dimensions: int) -> tuple[int, list[str]]:
    row = dimensions * 4 + TEXT_BYTES
    size, rate = expected.rows * row, expected.writers * ROWS_PER_WRITER_S * row
    shards = min(MAX_SHARDS, max(1, ceil(size / SHARD_BYTES), ceil(rate / SHARD_BYTES_S)))
    line = (
        f"shards       {_gb(size)} / 100 GB = {ceil(size / SHARD_BYTES)}; {expected.writers} writers x "
        f"{ROWS_PER_WRITER_S:,} rows/s x {row:,} B = {rate / 1e6:,.0f} MB/s / 500 MB/s = {ceil(rate / SHARD_BYTES_S)}; "
        f"the larger, at most {MAX_SHARDS}: {shards}"
    )
    return shards, [line]


def _partitions(expected: Expected, dimensions: int, shards: int) -> tuple[int, list[str]]:
    size = expected.rows * (dimensions * 4 + TEXT_BYTES)
    segments = size / SEGMENT_BYTES / shards
    most = 2 ** int(log2(MAX_UNITS // shards))
    partitions = min(most, max(MIN_PARTITIONS, 2 ** int(log2(max(1.0, segments)))))
    line = (
        f"partitions   by tenant: {_gb(size)} / {shards} shards / 1 GiB a segment = {segments:.1f}; a power of two "
        f"from {MIN_PARTITIONS} to {MAX_UNITS} / {shards} = {most}: {partitions}"
    )
    return partitions, [line]


def _gib(size: float) -> str:
    return f"{size / GIB:,.2f} GiB"


def _gb(size: float) -> str:
    return f"{size / 1e9:,.1f} GB"
