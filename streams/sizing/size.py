"""The whole deployment for a load."""

from collections.abc import Iterator
from dataclasses import dataclass

from streams.sizing.decoder import generate_pool
from streams.sizing.encoders import embed_pool, rerank_pool
from streams.sizing.figures import Figures
from streams.sizing.general import GeneralSize, general_size
from streams.sizing.index import IndexSize, index_size
from streams.sizing.kafka import KafkaSize, kafka_size
from streams.sizing.load import Load
from streams.sizing.pools import Hardware, PoolSize
from streams.sizing.stages import StageSize, ingest_stages, query_stages


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizing:
    """What a load needs, part by part."""

    load: Load
    stages: tuple[StageSize, ...]
    kafka: KafkaSize
    index: IndexSize
    pools: tuple[PoolSize, ...]
    general: GeneralSize
    latency_s: float
    """Of a generated answer under load; of an extracted one where none is generated."""

    @property
    def warnings(self) -> tuple[str, ...]:
        return tuple(self._warnings())

    def _warnings(self) -> Iterator[str]:
        for topic in self.kafka.topics:
            if topic.partitions != topic.table_partitions:
                yield (
                    f"topic {topic.topic!r} needs {topic.partitions} partitions, {topic.table_partitions} are in "
                    "streams/topics.py: raise them before the first document, for it moves keys"
                )
        yield from self.index.warnings
        for pool in self.pools:
            yield from pool.warnings


def size(load: Load, figures: Figures, hardware: Hardware) -> Sizing:
    """Raises ValueError where a model or a card is unknown, or does not fit."""
    ingest = ingest_stages(load, figures)
    index = index_size(load, figures, hardware.query_node, writers=ingest[-1].replicas)
    embed, rerank = embed_pool(load, figures, hardware), rerank_pool(load, figures, hardware)
    spent_s = figures.added_latency_s + embed.latency_s + index.search_latency_s + rerank.latency_s
    generate = generate_pool(load, figures, hardware, spent_s=spent_s)
    generation_s = generate.latency_s if load.generative else 0.0
    stages = ingest + query_stages(load, figures, generation_s=generation_s)
    return Sizing(
        load=load,
        stages=stages,
        kafka=kafka_size(load, figures, stages),
        index=index,
        pools=(embed, rerank, generate),
        general=general_size(load, figures, stages),
        latency_s=spent_s + generation_s,
    )
