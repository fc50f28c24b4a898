"""What a sizing costs a month, by a file of prices."""

from collections.abc import Iterator
from dataclasses import dataclass

from processors.index_plan import GIB
from streams.sizing.figures import Figures
from streams.sizing.models import BROKER_NODE
from streams.sizing.prices import Prices
from streams.sizing.size import Sizing


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One item of the bill."""

    item: str
    number: float
    unit: str
    price: float
    """Of one, for a month."""

    @property
    def month(self) -> float:
        return self.number * self.price


@dataclass(frozen=True, slots=True, kw_only=True)
class Bill:
    """As if the busiest hour lasted all month, at list prices on demand."""

    lines: tuple[Line, ...]
    currency: str
    region: str
    known_at: str

    @property
    def month(self) -> float:
        return sum(line.month for line in self.lines)


def bill(sizing: Sizing, figures: Figures, prices: Prices) -> Bill:
    """Raises ValueError where a machine has no price."""
    lines = (*_machines(sizing, prices), *_storage(sizing, figures, prices))
    return Bill(lines=lines, currency=prices.currency, region=prices.region, known_at=prices.known_at)


def _machines(sizing: Sizing, prices: Prices) -> Iterator[Line]:
    general, index = sizing.general, sizing.index
    machines = [
        ("general machines", general.machines, general.machine),
        ("Kafka's brokers", sizing.kafka.brokers, BROKER_NODE),
        ("Milvus' query nodes", index.nodes, index.node),
        *((f"GPU pool {pool.pool}", pool.machines, pool.machine) for pool in sizing.pools if pool.machines),
    ]
    for item, number, machine in machines:
        yield Line(item=item, number=number, unit=machine, price=prices.machine_month(machine))
    yield Line(item="the cluster", number=1, unit="EKS", price=prices.cluster_hour * prices.hours_per_month)


def _storage(sizing: Sizing, figures: Figures, prices: Prices) -> Iterator[Line]:
    kafka = sizing.kafka
    disk_gib = kafka.stored_bytes / figures.broker_disk_share / GIB
    yield Line(item="Kafka's disks", number=disk_gib, unit="GiB", price=prices.disk_gib_month)
    objects_gib = sizing.index.object_bytes / GIB
    yield Line(item="Milvus' objects", number=objects_gib, unit="GiB", price=prices.object_gib_month)
    # Whoever writes or reads a partition is in its leader's zone by chance; copies are in as many zones as there are.
    elsewhere = 1 - 1 / figures.zones
    once_s = kafka.written_bytes_s / figures.replication
    copied_s = once_s * min(figures.replication - 1, figures.replication * elsewhere)
    sent_s = (once_s + kafka.read_bytes_s) * elsewhere + copied_s
    sent_gib = sent_s * prices.hours_per_month * 3_600 / GIB
    yield Line(item="Kafka between zones", number=sent_gib, unit="GiB", price=prices.zone_gib)
