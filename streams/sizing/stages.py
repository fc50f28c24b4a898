"""Workers: replicas of each stage, and what they take."""

from dataclasses import dataclass
from math import ceil

from streams.sizing.figures import Figures
from streams.sizing.load import Load


@dataclass(frozen=True, slots=True, kw_only=True)
class StageSize:
    """The Deployment of one stage."""

    stage: str
    unit: str
    """What it is counted in."""
    load_s: float
    worker_s: float
    """What one worker takes."""
    replicas: int
    cores: float
    """Of one."""
    memory_gib: float
    """Of one."""


def spared(needed: int, replicas: int) -> int:
    """So many that `needed` are left when all but one of `replicas` machines' worth is away."""
    return max(replicas, needed + replicas - 1)


def ingest_stages(load: Load, figures: Figures) -> tuple[StageSize, ...]:
    """Chunk, embed and upsert, in chunks."""
    chunks_s = load.chunks_s(figures)
    return tuple(
        _stage(load, figures, stage=stage, unit="chunks", load_s=chunks_s, worker_s=worker_s)
        for stage, worker_s in (
            ("chunk", figures.chunk_worker_chunks_s),
            ("embed", figures.embed_worker_chunks_s),
            ("upsert", figures.upsert_worker_chunks_s),
        )
    )


def query_stages(load: Load, figures: Figures, *, generation_s: float) -> tuple[StageSize, ...]:
    """Retrieve, rerank and generate, in questions; a generation holds its place in a worker for so long."""
    busy = load.generative * generation_s / figures.generations_per_worker
    extracting = (1 - load.generative) / figures.query_worker_queries_s
    return tuple(
        _stage(load, figures, stage=stage, unit="questions", load_s=load.queries_s, worker_s=worker_s)
        for stage, worker_s in (
            ("retrieve", figures.retrieve_worker_queries_s),
            ("rerank", figures.query_worker_queries_s),
            ("generate", 1 / max(busy + extracting, 1 / figures.query_worker_queries_s)),
        )
    )


def _stage(load: Load, figures: Figures, *, stage: str, unit: str, load_s: float, worker_s: float) -> StageSize:
    reads = stage == "chunk"
    return StageSize(
        stage=stage,
        unit=unit,
        load_s=load_s,
        worker_s=worker_s,
        replicas=spared(ceil(load_s / (worker_s * figures.utilisation)), load.replicas),
        cores=figures.chunk_worker_cores if reads else figures.worker_cores,
        memory_gib=figures.chunk_worker_memory_gib if reads else figures.worker_memory_gib,
    )
