"""What the simulation takes for given: rates of one replica, times to start, what a burst and a night are made of."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields

from streams.sizing.decoder import generate_pool
from streams.sizing.encoders import rerank_pool
from streams.sizing.figures import Figures
from streams.sizing.load import Load
from streams.sizing.pools import Hardware

SIZING = Figures()
FULL = Load(chunks=1, documents_s=0, queries_s=1, generative=1)
"""What one server does with all that it takes at once does not depend on the load."""


def _given(value: float, source: str) -> float:
    given: float = field(default=value, metadata={"source": source})
    return given


@dataclass(frozen=True, slots=True, kw_only=True)
class Assumed:
    """Every number with its source. Units are in the names."""

    chunks_per_document: float = _given(25, "20,000 B of text, the mean of `headwater size`, in chunks of 800 B")
    chunk_documents_s: float = _given(
        SIZING.chunk_worker_chunks_s / 25, "`headwater size`: 670 chunks/s of one reading process"
    )
    embed_documents_s: float = _given(
        SIZING.embed_worker_chunks_s / 25, "`headwater size`: 4,500 chunks/s, its own work alone"
    )
    upsert_documents_s: float = _given(
        SIZING.upsert_worker_chunks_s / 25, "`headwater size`: 4,000 chunks/s (benchmarks/milvus_bulk.py)"
    )
    tei_texts_s: float = _given(
        2_000, "assumed for all-MiniLM-L6-v2 on an L4 with 4 cores: a quarter of the card, the rest is for tokenizing"
    )
    retrieve_questions_s: float = _given(
        SIZING.retrieve_worker_queries_s, "docs/performance.md, milvus ratio: with the server on the same two cores"
    )
    query_worker_questions_s: float = _given(
        SIZING.query_worker_queries_s, "docs/performance.md, query overhead: 16.3 ms for three stages"
    )
    rerank_questions_s: float = _given(
        1 / rerank_pool(FULL, SIZING, Hardware()).latency_s,
        "`headwater size`: 50 passages by bge-reranker-base on an L4 at a third of its peak",
    )
    rerank_passages: float = _given(SIZING.candidates, "the retrieve stage's default")
    tei_batch_texts: float = _given(64, "16,384 tokens (TEI's `--max-batch-tokens`) of 200 to 256 each")
    tei_permits: float = _given(512, "TEI's `--max-concurrent-requests`")
    worker_texts: float = _given(480, "docs/servers.md: 15 lists of 32 in flight per worker")
    generations: float = _given(SIZING.generations_per_worker, "the setting `max_generations`")
    vllm_sequences: float = _given(SIZING.max_sequences, "`--max-num-seqs` in infra/k8s/base/vllm")
    answer_s: float = _given(
        round(generate_pool(FULL, SIZING, Hardware(), spent_s=0).latency_s),
        "`headwater size`: 128 tokens of Qwen2.5-7B on an H100, 32 answers at a time",
    )
    waiting_questions: float = _given(256 + 64, "the settings `max_waiting` and `window_events`, per worker")
    deadline_s: float = _given(60, "of a question that names none (streams/client.py)")
    commit_s: float = _given(1, "between two commits of a worker (streams/runtime/engines/hosting.py)")

    worker_start_s: float = _given(
        15, "scheduling and an image that the node has: 10 s, assumed; then under 2 s (docs/performance.md), and probes"
    )
    rebalance_s: float = _given(
        3, "assumed: partitions that move are dark for a heartbeat or two and the new owner's first fetch"
    )
    tei_start_s: float = _given(40, "assumed: 90 MB to 1.1 GB from the object store, warm-up, probes")
    vllm_start_s: float = _given(180, "assumed: 15 GB at 250 MB/s, then kernels are compiled and the cache is laid out")
    gpu_node_s: float = _given(
        240, "assumed: 10 s until the cluster autoscaler looks, an instance, driver and device plugin, a 5 GB image"
    )
    gpu_node_idle_s: float = _given(600, "the cluster autoscaler's `--scale-down-unneeded-time`")
    scrape_s: float = _given(15, "Prometheus' `scrape_interval`")

    def __iter__(self) -> Iterator[tuple[str, float, str]]:
        for each in fields(self):
            yield each.name, getattr(self, each.name), each.metadata["source"]


POOLS: Mapping[str, tuple[str, int]] = {
    "tei-embed-bulk": ("embed", 1),
    "tei-embed": ("embed", 1),
    "tei-rerank": ("rerank", 1),
    "vllm": ("generate", 1),
}
"""The node pool of each model server, and how many cards its nodes have (infra/terraform/envs/prod)."""
