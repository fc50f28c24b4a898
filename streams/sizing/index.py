"""Milvus: kind of index, shards, partitions, query nodes, disk. The layout is the one that `index plan` shows."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil

from processors.index_plan import (
    GIB,
    HEAD_BYTES,
    SEGMENT_BYTES,
    TEXT_BYTES,
    Expected,
    Layout,
    layout,
    text_memory,
    vector_disk,
    vector_memory,
)
from streams.sizing.figures import Figures
from streams.sizing.load import Load
from streams.sizing.models import QUERY_NODES, Machine
from streams.sizing.pools import known


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexSize:
    """What the collections of chunks and heads need."""

    kind: str
    """Of the index over the vectors."""
    node: str
    """Machine of a query node."""
    shards: int
    partitions: int
    vector_memory_bytes: int
    """With its index; of one copy, as all of these."""
    text_memory_bytes: int
    heads_memory_bytes: int
    node_disk_bytes: int
    """NVMe of all query nodes of a copy; 0: this kind needs none."""
    object_bytes: int
    """In the object store, for all copies together."""
    copies: int
    """In memory: what Milvus calls replicas."""
    nodes_per_copy: int
    search_core_s: float
    """Work of one search, on all cores of a copy together."""
    search_latency_s: float
    arithmetic: tuple[str, ...]
    warnings: tuple[str, ...]

    @property
    def memory_bytes(self) -> int:
        return self.vector_memory_bytes + self.text_memory_bytes + self.heads_memory_bytes

    @property
    def nodes(self) -> int:
        return self.copies * self.nodes_per_copy


def index_size(load: Load, figures: Figures, query_node: str, *, writers: int) -> IndexSize:
    """On these machines, for so many upserting workers."""
    node = known(query_node, QUERY_NODES, "query node")
    heads = 2 * load.documents(figures) * HEAD_BYTES  # the deciding row and the newest row
    memory_gib = (figures.query_nodes_max * _usable(node, figures) - heads) // GIB
    if memory_gib <= 0:
        raise ValueError(f"the heads alone need {heads / GIB:,.0f} GiB: raise query_nodes_max, or a larger query_node")
    planned = layout(Expected(rows=load.chunks, writers=writers, memory_gib=memory_gib), load.dimensions)
    needs = _Needs(load, figures, node, planned, heads)
    per_copy = max(1, needs.by_memory, needs.by_disk, needs.by_search)
    stored = load.chunks * (TEXT_BYTES + load.dimensions * 4) + heads + needs.vectors
    return IndexSize(
        kind=needs.kind,
        node=query_node,
        shards=planned.shards,
        partitions=planned.partitions,
        vector_memory_bytes=needs.vectors,
        text_memory_bytes=needs.text,
        heads_memory_bytes=heads,
        node_disk_bytes=needs.disk,
        object_bytes=round(stored * figures.index_copies),
        copies=load.replicas,
        nodes_per_copy=per_copy,
        search_core_s=needs.work,
        search_latency_s=needs.work / min(needs.segments, per_copy * node.cores),
        arithmetic=(
            *planned.arithmetic,
            *needs.arithmetic(query_node),
            f"query nodes  the largest x {load.replicas} copies: {load.replicas * per_copy} x {query_node}",
        ),
        warnings=tuple(needs.warnings(query_node)),
    )


def _usable(node: Machine, figures: Figures) -> float:
    return node.memory_gib * GIB * figures.query_node_memory_share


@dataclass(frozen=True, slots=True)
class _Needs:
    """Of one copy of a collection that is laid out."""

    load: Load
    figures: Figures
    node: Machine
    planned: Layout
    heads: int

    @property
    def kind(self) -> str:
        return self.planned.index[0]

    @property
    def vectors(self) -> int:
        return vector_memory(self.load.chunks, self.load.dimensions)[self.kind]

    @property
    def text(self) -> int:
        return text_memory(self.load.chunks)

    @property
    def disk(self) -> int:
        return vector_disk(self.load.chunks, self.load.dimensions) if self.kind == "DISKANN" else 0

    @property
    def segments(self) -> float:
        """That one search reads: those of its tenant's partition, at least one in each shard."""
        row = TEXT_BYTES + self.load.dimensions * 4
        size = self.load.chunks * row / min(self.load.tenants, self.planned.partitions)
        return max(size / SEGMENT_BYTES, self.planned.shards)

    @property
    def segments_s(self) -> float:
        """That one core searches."""
        return self.figures.disk_segment_searches_s if self.kind == "DISKANN" else self.figures.segment_searches_s

    @property
    def work(self) -> float:
        """Core-seconds of a search."""
        return self.segments / self.segments_s * self.figures.hybrid_cost

    @property
    def cores(self) -> float:
        return self.load.queries_s * self.work / self.figures.utilisation

    @property
    def by_memory(self) -> int:
        return ceil((self.vectors + self.text + self.heads) / _usable(self.node, self.figures))

    @property
    def by_disk(self) -> int:
        return (
            ceil(self.disk / (self.node.nvme_bytes * self.figures.query_node_disk_share)) if self.node.nvme_bytes else 0
        )

    @property
    def by_search(self) -> int:
        """With one copy away."""
        return ceil(self.cores / max(1, self.load.replicas - 1) / self.node.cores)

    def arithmetic(self, query_node: str) -> Iterator[str]:
        yield f"heads        2 x {self.load.documents(self.figures):,} documents x {HEAD_BYTES} B = {_gib(self.heads)}"
        yield (
            f"memory       {_gib(self.vectors + self.text + self.heads)} / ({self.node.memory_gib} GiB x "
            f"{self.figures.query_node_memory_share:g}) = {self.by_memory} {query_node}"
        )
        if self.by_disk:
            yield (
                f"disk         {self.disk / 1e9:,.0f} GB / ({self.node.nvme_bytes / 1e9:,.0f} GB x "
                f"{self.figures.query_node_disk_share:g}) = {self.by_disk} {query_node}"
            )
        yield (
            f"searches     {self.segments:,.1f} segments / {self.segments_s:g} a core and second x "
            f"{self.figures.hybrid_cost:g} = {self.work:,.3f} core-seconds each; x {self.load.queries_s:g}/s / "
            f"{self.figures.utilisation:g} = {self.cores:,.1f} cores = {self.by_search} {query_node}"
        )

    def warnings(self, query_node: str) -> Iterator[str]:
        most = self.figures.query_nodes_max
        smaller = {"IVF_SQ8": "the vectors rounded to a byte", "DISKANN": "the vectors on NVMe disks"}
        if self.kind in smaller:
            hnsw = vector_memory(self.load.chunks, self.load.dimensions)["HNSW"] + self.text + self.heads
            yield (
                f"HNSW would need {hnsw / GIB:,.0f} GiB, {ceil(hnsw / _usable(self.node, self.figures))} x "
                f"{query_node} for a copy, more than query_nodes_max={most:g}: {self.kind}, {smaller[self.kind]}"
            )
        if self.disk and not self.node.nvme_bytes:
            with_disk = ", ".join(name for name, machine in QUERY_NODES.items() if machine.nvme_bytes)
            yield f"{query_node} has no NVMe disk, and DISKANN needs {self.disk / 1e9:,.0f} GB of it: take {with_disk}"
        if self.by_memory > most:
            yield (
                f"even so a copy needs {self.by_memory} x {query_node}: text and words alone take "
                f"{self.text / GIB:,.0f} GiB; map them to disk (mmap), or take larger machines"
            )
        if self.by_search > max(self.by_memory, self.by_disk, most):
            partition = self.load.chunks / min(self.load.tenants, self.planned.partitions)
            yield (
                f"searches ask for {self.by_search} x {query_node}, more than memory does: each reads a partition of "
                f"{partition:,.0f} chunks; larger segments (dataCoord.segment.maxSize) or a collection for each "
                "group of tenants make it cheaper"
            )


def _gib(size: float) -> str:
    return f"{size / GIB:,.2f} GiB"
