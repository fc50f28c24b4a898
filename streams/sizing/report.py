"""A sizing for a person, and for a program."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict

from processors.index_plan import GIB
from streams.sizing.cost import Bill
from streams.sizing.figures import Figures
from streams.sizing.size import Sizing


def record(sizing: Sizing, figures: Figures, billed: Bill | None) -> dict[str, object]:
    """Everything, with every figure and where it comes from; JSON knows all of its types."""
    assumed = {figure.name: {"value": figure.value, "source": figure.source} for figure in figures}
    cost = billed and asdict(billed) | {"month": billed.month}
    derived = {"warnings": list(sizing.warnings), "cost": cost}
    pools = [asdict(pool) | {"cards": pool.cards} for pool in sizing.pools]
    index = asdict(sizing.index) | {"nodes": sizing.index.nodes, "memory_bytes": sizing.index.memory_bytes}
    return asdict(sizing) | {"pools": pools, "index": index} | derived | {"figures": assumed}


def explained(sizing: Sizing, billed: Bill | None) -> Iterator[str]:
    """Line by line, with the arithmetic."""
    yield from _stages(sizing)
    yield from ("", *_topics(sizing), *sizing.kafka.arithmetic)
    yield from ("", "milvus", *sizing.index.arithmetic)
    index = sizing.index
    disk = f", {index.node_disk_bytes / GIB:,.0f} GiB of NVMe" if index.node_disk_bytes else ""
    yield (
        f"a copy       {index.memory_bytes / GIB:,.1f} GiB of memory{disk}; "
        f"{index.object_bytes / 1e9:,.0f} GB in the object store"
    )
    for pool in sizing.pools:
        yield ""
        if not pool.servers:
            yield f"{pool.pool}: nothing asks for it"
            continue
        yield (
            f"{pool.pool}: {pool.servers} x {pool.model} on {pool.cards_per_server} {pool.card} each, "
            f"{pool.machines} x {pool.machine}"
        )
        yield from pool.arithmetic
    general = sizing.general
    yield from ("", f"general: {general.machines} x {general.machine}", *general.arithmetic, "")
    what = "generated" if sizing.load.generative else "extracted"
    yield f"a question has its {what} answer after {sizing.latency_s:.2f} s under this load"
    yield from ("", *_cost(billed))
    yield from (f"WARNING      {warning}" for warning in sizing.warnings)


def _stages(sizing: Sizing) -> Iterator[str]:
    rows = [("stage", "load/s", "a worker/s", "replicas", "cores", "GiB", "reads", "partitions")]
    readers = {topic.read_by: topic for topic in sizing.kafka.topics if topic.read_by}
    for stage in sizing.stages:
        topic = readers[stage.stage]
        load = f"{stage.load_s:,.4g} {stage.unit}"
        numbers = (f"{stage.worker_s:,.4g}", str(stage.replicas), f"{stage.cores:g}", f"{stage.memory_gib:g}")
        rows.append((stage.stage, load, *numbers, topic.topic, str(topic.partitions)))
    yield from columns(rows)


def _topics(sizing: Sizing) -> Iterator[str]:
    rows = [("topic", "records/s", "MB/s", "kept", "GB on all brokers", "partitions")]
    for topic in sizing.kafka.topics:
        rate, kept = f"{topic.bytes_s / 1e6:,.3f}", f"{topic.retention_s / 86_400:g} d"
        stored = f"{topic.stored_bytes / 1e9:,.1f}"
        rows.append((topic.topic, f"{topic.records_s:,.4g}", rate, kept, stored, str(topic.partitions)))
    yield from columns(rows)


def _cost(billed: Bill | None) -> Iterator[str]:
    if billed is None:
        yield "cost: not computed, give --prices FILE (infra/terraform/prices.json)"
        return
    head = ("a month", "number", "of", f"{billed.currency} each", billed.currency)
    rows = [
        (line.item, f"{line.number:,.0f}", line.unit, f"{line.price:,.2f}", f"{line.month:,.0f}")
        for line in billed.lines
    ]
    yield from columns([head, *rows])
    yield (
        f"in all       {billed.month:,.0f} {billed.currency} a month: on demand in {billed.region}, list prices "
        f"known at {billed.known_at}"
    )


def columns(rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    """The rows as a table: words to the left, numbers to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    numeric = [column[-1][:1].isdigit() for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (
            cell.rjust(width) if number else cell.ljust(width)
            for cell, width, number in zip(row, widths, numeric, strict=True)
        )
        yield "  ".join(cells).rstrip()
