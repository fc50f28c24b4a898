"""The pools of this home's workers, as a table."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import typer

from streams.cli.reporting import one_line

if TYPE_CHECKING:
    from streams.pools.states import InstanceState, WorkerPools

TEXTS = ("pool", "worker", "instance", "state")
NUMBERS = ("tier", "weight", "share", "in flight", "ms", "p95", "errors")


def show(workers: "Sequence[WorkerPools]") -> None:
    """A row for each instance of each worker, and why some get no calls; nothing where no worker has a pool."""
    if not workers:
        return
    rows: list[tuple[str, ...]] = [(*TEXTS, *NUMBERS)]
    troubled: list[str] = []
    for worker in workers:
        for pool in worker.pools:
            for instance in pool.instances:
                of = pool.port, f"{worker.host}:{worker.pid}"
                rows.append((*of, *_row(instance)))
                if instance.why:
                    troubled.append(f"{' '.join(of)} {instance.url}: {instance.why}")
    # Not through rich, which folds a table that is wider than the terminal until it says nothing.
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [
            cell.ljust(width) if place < len(TEXTS) else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        typer.echo("  ".join(cells))
    for line in troubled:
        typer.echo(one_line(line))


def _row(instance: "InstanceState") -> tuple[str, ...]:
    return (
        one_line(instance.url),
        instance.state,
        str(instance.tier),
        f"{instance.weight:g}",
        f"{instance.share:.0%}",
        str(instance.in_flight),
        _ms(instance.ewma_ms),
        _ms(instance.p95_ms),
        str(instance.errors),
    )


def _ms(value: float | None) -> str:
    return "" if value is None else f"{value:.0f}"
