"""The pools of this home's workers, as a table."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from streams.cli.reporting import one_line

if TYPE_CHECKING:
    from streams.pools.states import InstanceState, WorkerPools

NUMBERS = ("tier", "weight", "share", "in flight", "ms", "p95", "errors")


def show(workers: "Sequence[WorkerPools]") -> None:
    """A row for each instance of each worker; nothing where no worker has a pool."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    if not workers:
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("pool", "worker", "instance", "state", *NUMBERS):
        table.add_column(heading, justify="right" if heading in NUMBERS else "left")
    troubled = []
    for worker in workers:
        for pool in worker.pools:
            for instance in pool.instances:
                table.add_row(pool.port, str(worker.pid), *_row(instance))
                if instance.why:
                    troubled.append(f"{instance.url}: {instance.why}")
    console = Console(soft_wrap=True, highlight=False)
    console.print(table)
    for line in dict.fromkeys(troubled):
        console.print(one_line(line), markup=False)


def _row(instance: "InstanceState") -> list[str]:
    colour = "green" if instance.state == "closed" else "yellow" if instance.state == "draining" else "red"
    return [
        one_line(instance.url).replace("[", r"\["),
        f"[{colour}]{instance.state}[/]",
        str(instance.tier),
        f"{instance.weight:g}",
        f"{instance.share:.0%}",
        str(instance.in_flight),
        _ms(instance.ewma_ms),
        _ms(instance.p95_ms),
        str(instance.errors),
    ]


def _ms(value: float | None) -> str:
    return "" if value is None else f"{value:.0f}"
