"""What the arithmetic assumes: each figure has a name, a value and a source, and can be replaced by one's own."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from math import isfinite
from typing import NamedTuple, Self

from processors.chunking import GENERAL
from processors.index_plan import ROWS_PER_WRITER_S
from processors.retrieve import CANDIDATES
from streams.settings import Settings

MEASURED = "docs/performance.md"
VECTORDBBENCH = "VectorDBBench's published results for Milvus, 8 August 2023"


class Figure(NamedTuple):
    """One assumption, as a person reads it."""

    name: str
    value: float
    source: str


def _figure(value: float, source: str) -> float:
    figure: float = field(default=value, metadata={"source": source})
    return figure


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """Every assumption. Units are in the names; a name without one counts things or is a share."""

    utilisation: float = _figure(0.7, "formula: with random arrivals a queue at 0.7 waits 2.3 times its service time")

    chunk_bytes: float = _figure(
        GENERAL.min_chars, "chunks of the default rule reach at least this; 814 on the benchmarks' corpus"
    )
    chars_per_token: float = _figure(4, "3.5 to 4.6 on our own documents with all-MiniLM-L6-v2's tokenizer")
    question_tokens: float = _figure(20, "a sentence of 80 characters")
    candidates: float = _figure(CANDIDATES, "the retrieve stage's default")

    chunk_worker_chunks_s: float = _figure(
        670, "one reading process: unstructured takes 0.5 CPU-s for 1,000 paragraphs (ADR 5), three make a chunk"
    )
    embed_worker_chunks_s: float = _figure(
        4_500, f"{MEASURED}, own cost: 0.222 CPU-s per 1,000 chunks for all three stages, taken for this one alone"
    )
    upsert_worker_chunks_s: float = _figure(ROWS_PER_WRITER_S, "benchmarks/milvus_bulk.py, as `index plan` counts")
    retrieve_worker_queries_s: float = _figure(
        68, f"{MEASURED}, milvus ratio: the adapter with the server on the same two cores"
    )
    query_worker_queries_s: float = _figure(
        184, f"{MEASURED}, query overhead: 16.3 ms for three stages, as if all of it were work of one core"
    )
    added_latency_s: float = _figure(0.0192, f"{MEASURED}, query overhead: p95 over topics")
    generations_per_worker: float = _figure(
        Settings.model_fields["max_generations"].default, "the setting `max_generations`"
    )
    worker_cores: float = _figure(1, "a worker is one Python process")
    chunk_worker_cores: float = _figure(2, "and one reading process (ADR 5)")
    worker_memory_gib: float = _figure(1, f"{MEASURED}, footprint: at most 340 MB at rest; the window takes 32 MiB")
    chunk_worker_memory_gib: float = _figure(4, "a reading process may map 3 GiB (ADR 5)")

    replication: float = _figure(3, "Kafka's own advice: one broker may fail while another is restarted")
    zones: float = _figure(3, "infra/terraform/envs: what Kafka sends between them is paid")
    header_bytes: float = _figure(400, "CloudEvents and trace headers of a record, and its place in the log")
    compression: float = _figure(1, "not counted on: lz4 takes English text to 0.7, and vectors to 1")
    partition_bytes_s: float = _figure(
        10e6, "Confluent's advice on the number of partitions: tens of MB/s each, taken low"
    )
    partition_headroom: float = _figure(2, "replicas may double before partitions must be added, which moves keys")
    broker_bytes_s: float = _figure(100e6, "a gp3 volume writes 125 MiB/s (AWS), four fifths of it")
    broker_disk_bytes: float = _figure(
        4e12, "formula: a broker that is replaced copies so much in 11 hours at 100 MB/s"
    )
    broker_disk_share: float = _figure(0.6, "room for a broker's partitions while another is away")

    query_node_memory_share: float = _figure(0.85, "Milvus refuses writes beyond it (infra/k8s/base/milvus)")
    query_node_disk_share: float = _figure(0.8, "assumed: room for segments that are loaded before others are released")
    query_nodes_max: float = _figure(16, "for one copy of the index; beyond it a smaller kind of index is taken")
    segment_searches_s: float = _figure(
        140,
        f"per core and segment of 1 GiB. {VECTORDBBENCH}: HNSW, 5 M x 1,536, 78 searches/s on 16 cores; "
        "IVF_SQ8 assumed alike",
    )
    disk_segment_searches_s: float = _figure(158, f"the same on DISKANN. {VECTORDBBENCH}: 22 searches/s on 4 cores")
    hybrid_cost: float = _figure(2, "assumed: the words cost as much as the vectors")
    index_copies: float = _figure(2, "in the object store: while segments are merged, or a collection is rebuilt")
    milvus_other_cores: float = _figure(
        5, "a proxy, a coordinator, a data and a streaming node for each replica (infra/k8s/base/milvus)"
    )
    milvus_other_memory_gib: float = _figure(24, "the same")
    platform_cores: float = _figure(
        4, "Kafka's controllers, etcd, operators, the collector, as infra/k8s asks for them"
    )
    platform_memory_gib: float = _figure(16, "the same")
    machine_share: float = _figure(0.85, "assumed: the rest is the system's, and what no pod fits into")

    compute_share: float = _figure(
        0.33,
        "of a card's peak: TEI made 62,100 tokens/s of bge-large on an L4 (Infinity's benchmark); small models less",
    )
    bandwidth_share: float = _figure(
        0.55, "assumed, of a card's bandwidth while decoding; nothing here has measured it"
    )
    memory_share: float = _figure(0.9, "vLLM's --gpu-memory-utilization")
    activations_bytes: float = _figure(2e9, "assumed, beside weights and cache: what vLLM works in")
    weight_bytes: float = _figure(2, "per parameter: bfloat16")
    cache_value_bytes: float = _figure(2, "per value of the cache: bfloat16")
    prompt_tokens: float = _figure(500, "1,600 B of evidence (`evidence_bytes`), a question and the instructions")
    max_sequences: float = _figure(32, "`--max-num-seqs` in infra/k8s/base/vllm (docs/autoscaling.md)")

    def __post_init__(self) -> None:
        for figure in self:
            if not isfinite(figure.value) or figure.value <= 0:
                raise ValueError(f"{figure.name} is {figure.value}: give more than 0")

    def __iter__(self) -> Iterator[Figure]:
        for each in fields(self):
            yield Figure(each.name, getattr(self, each.name), each.metadata["source"])

    def replaced(self, values: Mapping[str, float]) -> Self:
        """With figures of one's own. Raises ValueError for a name that is none."""
        known = {figure.name for figure in self}
        if unknown := sorted(set(values) - known):
            raise ValueError(f"no figure is called {unknown[0]!r}; there are {', '.join(sorted(known))}")
        return replace(self, **values)
