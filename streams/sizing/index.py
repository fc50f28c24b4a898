"""Milvus: kind of index, shards, partitions, query nodes, disk. The layout is the one that `index plan` shows."""

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


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexSize:
    """What the collections of chunks and heads need."""

    kind: str
    """Of the index over the vectors."""
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


def index_size(load: Load, figures: Figures, *, writers: int) -> IndexSize:
    """For so many upserting workers."""
    rows, dimensions = load.chunks, load.dimensions
    node = figures.query_node_memory_gib * GIB * figures.query_node_share
    heads = 2 * load.documents(figures) * HEAD_BYTES  # the deciding row and the newest row
    memory_gib = (figures.query_nodes_max * node - heads) // GIB
    if memory_gib <= 0:
        raise ValueError(f"the heads alone need {heads / GIB:,.0f} GiB: raise query_nodes_max or query_node_memory_gib")
    planned = layout(Expected(rows=rows, writers=writers, memory_gib=memory_gib), dimensions)
    kind = planned.index[0]
    vectors, text = vector_memory(rows, dimensions)[kind], text_memory(rows)
    a_core_s = figures.disk_segment_searches_s if kind == "DISKANN" else figures.segment_searches_s
    segments = _searched_segments(load, planned)
    work = segments / a_core_s * figures.hybrid_cost
    copies = load.replicas
    by_memory = ceil((vectors + text + heads) / node)
    cores = load.queries_s * work / figures.utilisation
    by_search = ceil(cores / max(1, copies - 1) / figures.query_node_cores)
    per_copy = max(1, by_memory, by_search)
    stored = rows * (TEXT_BYTES + dimensions * 4) + heads + vectors
    disk = vector_disk(rows, dimensions) if kind == "DISKANN" else 0
    needed = vectors + text + heads
    lines = (
        *planned.arithmetic,
        f"heads        2 x {load.documents(figures):,} documents x {HEAD_BYTES} B = {heads / GIB:,.2f} GiB",
        (
            f"memory       {needed / GIB:,.1f} GiB / ({figures.query_node_memory_gib:g} GiB x "
            f"{figures.query_node_share:g}) = {by_memory} query nodes"
        ),
        (
            f"searches     {segments:,.1f} segments / {a_core_s:g} a core and second x {figures.hybrid_cost:g} = "
            f"{work:,.3f} core-seconds each; x {load.queries_s:g}/s / {figures.utilisation:g} = "
            f"{cores:,.0f} cores = {by_search} nodes of {figures.query_node_cores:g}"
        ),
        f"query nodes  the larger x {copies} copies: {copies * per_copy}",
    )
    return IndexSize(
        kind=kind,
        shards=planned.shards,
        partitions=planned.partitions,
        vector_memory_bytes=vectors,
        text_memory_bytes=text,
        heads_memory_bytes=heads,
        node_disk_bytes=disk,
        object_bytes=round(stored * figures.index_copies),
        copies=copies,
        nodes_per_copy=per_copy,
        search_core_s=work,
        search_latency_s=work / min(segments, per_copy * figures.query_node_cores),
        arithmetic=lines,
        warnings=_warnings(load, figures, planned, by_memory=by_memory, by_search=by_search),
    )


def _searched_segments(load: Load, planned: Layout) -> float:
    """Those of one tenant's partition, which has at least one in each shard."""
    size = load.chunks * (TEXT_BYTES + load.dimensions * 4) / min(load.tenants, planned.partitions)
    return max(size / SEGMENT_BYTES, planned.shards)


def _warnings(load: Load, figures: Figures, planned: Layout, *, by_memory: int, by_search: int) -> tuple[str, ...]:
    found, kind = [], planned.index[0]
    smaller = {"IVF_SQ8": "the vectors rounded to a byte", "DISKANN": "the vectors on NVMe disks"}
    if kind in smaller:
        hnsw = vector_memory(load.chunks, load.dimensions)["HNSW"] + text_memory(load.chunks)
        node = figures.query_node_memory_gib * figures.query_node_share
        found.append(
            f"HNSW would need {hnsw / GIB:,.0f} GiB, {ceil(hnsw / GIB / node)} query nodes for a copy, more than "
            f"query_nodes_max={figures.query_nodes_max:g}: {kind}, {smaller[kind]}"
        )
    if by_memory > figures.query_nodes_max:
        found.append(
            f"even so a copy needs {by_memory} query nodes: text and words alone take "
            f"{text_memory(load.chunks) / GIB:,.0f} GiB; map them to disk (mmap), or take larger machines "
            "(query_node_memory_gib)"
        )
    if by_search > by_memory and by_search > figures.query_nodes_max:
        found.append(
            f"searches ask for {by_search} query nodes, more than memory: each search reads a partition of "
            f"{load.chunks / min(load.tenants, planned.partitions):,.0f} chunks; larger segments "
            "(dataCoord.segment.maxSize), more cores a node (query_node_cores) or a collection for each group of "
            "tenants make it cheaper"
        )
    return tuple(found)
