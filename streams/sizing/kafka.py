"""Kafka: partitions, storage, bandwidth and brokers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil

from schemas import Event
from streams.sizing.figures import Figures
from streams.sizing.load import Load
from streams.sizing.records import rates
from streams.sizing.stages import StageSize
from streams.topics import CANDIDATES, CHUNKS, DOCUMENTS, EVIDENCE, QUERIES, TOPICS, VECTORS
from streams.wiring import Topic

READ_BY: Mapping[str, str] = {
    DOCUMENTS.name: "chunk",
    CHUNKS.name: "embed",
    VECTORS.name: "upsert",
    QUERIES.name: "retrieve",
    CANDIDATES.name: "rerank",
    EVIDENCE.name: "generate",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicSize:
    """One topic under the load."""

    topic: str
    read_by: str
    """The stage; empty: callers and producers."""
    records_s: float
    bytes_s: float
    """Written by producers, once."""
    retention_s: float
    stored_bytes: float
    """On all brokers."""
    partitions: int
    table_partitions: int
    """What streams/topics.py creates."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KafkaSize:
    """The cluster."""

    topics: tuple[TopicSize, ...]
    written_bytes_s: float
    """To the disks of all brokers, copies included."""
    read_bytes_s: float
    """By the stages and by callers."""
    stored_bytes: float
    brokers: int
    arithmetic: tuple[str, ...]


def kafka_size(load: Load, figures: Figures, stages: Sequence[StageSize]) -> KafkaSize:
    replicas = {stage.stage: stage.replicas for stage in stages}
    by_name = rates(load, figures)
    topics = tuple(_topic(topic, *by_name[topic.name], replicas, figures) for topic in TOPICS if topic.name in by_name)
    once = sum(topic.bytes_s for topic in topics)
    written, stored = once * figures.replication, sum(topic.stored_bytes for topic in topics)
    by_writing = ceil(written / (figures.broker_bytes_s * figures.utilisation))
    by_disk = ceil(stored / (figures.broker_disk_bytes * figures.broker_disk_share))
    brokers = max(round(figures.replication), by_writing, by_disk)
    lines = (
        (
            f"bandwidth    {once / 1e6:,.1f} MB/s x {figures.replication:g} copies = {written / 1e6:,.1f} MB/s / "
            f"({figures.broker_bytes_s / 1e6:g} MB/s x {figures.utilisation:g}) = {by_writing} brokers"
        ),
        (
            f"storage      {stored / 1e9:,.0f} GB / ({figures.broker_disk_bytes / 1e12:g} TB x "
            f"{figures.broker_disk_share:g}) = {by_disk} brokers"
        ),
        f"brokers      the largest, at least {figures.replication:g} for the copies: {brokers}",
    )
    return KafkaSize(
        topics=topics,
        written_bytes_s=written,
        read_bytes_s=once,
        stored_bytes=stored,
        brokers=brokers,
        arithmetic=lines,
    )


def _topic(
    topic: Topic[Event], records_s: float, bytes_s: float, replicas: Mapping[str, int], figures: Figures
) -> TopicSize:
    reader = READ_BY.get(topic.name, "")
    readers = replicas[reader] if reader else 1
    retention_s, table = topic.retention_ms / 1e3, topic.partitions
    least = max(readers * figures.partition_headroom, bytes_s / figures.partition_bytes_s)
    return TopicSize(
        topic=topic.name,
        read_by=reader,
        records_s=records_s,
        bytes_s=bytes_s,
        retention_s=retention_s,
        stored_bytes=bytes_s * retention_s * figures.replication,
        partitions=table * ceil(max(1.0, least / table)),
        table_partitions=table,
    )
