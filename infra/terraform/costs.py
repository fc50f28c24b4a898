"""What each env costs a month: `python -m infra.terraform.costs` writes COSTS.md, `--check` compares.

The counts are those of the env's plan (see `offline.plan`), the prices those of prices.json.
"""

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from pydantic import TypeAdapter

from infra.terraform.offline import HERE, Unavailable, plan
from infra.terraform.planned import Cluster, LaunchTemplate, Msk, NodeGroup, Plan

ENVS = ("dev", "prod")
PAGE = HERE / "COSTS.md"
FREE_MIB_S = 125
"""What a gp3 disk does for the price of its GiB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prices:
    """prices.json, all in dollars."""

    known_at: str
    region: str
    note: str
    hours_per_month: int
    instance_hour: Mapping[str, float]
    spot_share: float
    spot_note: str
    eks_cluster_hour: Mapping[str, float]
    eks_note: str
    msk_broker_hour: Mapping[str, float]
    msk_storage_gib_month: float
    nat_gateway_hour: float
    public_ipv4_hour: float
    kms_key_month: float
    ebs_gp3_gib_month: float
    ebs_gp3_mib_s_month: float
    by_use: Mapping[str, float]

    def month(self, hourly: Mapping[str, float], key: str) -> float:
        """What runs all month by an hourly price; a missing one is an error that names it."""
        if key not in hourly:
            raise SystemExit(f"prices.json has no price for {key!r}: add it, as known at {self.known_at}, or renew all")
        return hourly[key] * self.hours_per_month


@dataclass(frozen=True, slots=True)
class Item:
    """Something that is paid by the month, however much it is used."""

    what: str
    month: float
    """One of them, in dollars."""
    least: int
    start: int
    most: int

    @property
    def months(self) -> tuple[float, float, float]:
        return self.least * self.month, self.start * self.month, self.most * self.month


def items(planned: Plan, prices: Prices) -> Iterator[Item]:
    """All that an env pays for by the month."""
    for _, cluster in planned.each("aws_eks_cluster", Cluster):
        yield _fixed(f"EKS {cluster.version}", prices.month(prices.eks_cluster_hour, cluster.version), 1)
    yield from _nodes(planned, prices)
    for _, msk in planned.each("aws_msk_cluster", Msk):
        (broker,) = msk.broker_node_group_info
        gib = broker.storage_info[0].ebs_storage_info[0].volume_size
        month = prices.month(prices.msk_broker_hour, broker.instance_type) + gib * prices.msk_storage_gib_month
        yield _fixed(f"MSK broker: {broker.instance_type}, {gib} GiB", month, msk.number_of_broker_nodes)
    gateway = (prices.nat_gateway_hour + prices.public_ipv4_hour) * prices.hours_per_month
    yield _fixed("NAT gateway with its address", gateway, planned.count("aws_nat_gateway"))
    yield _fixed("KMS key", prices.kms_key_month, planned.count("aws_kms_key"))


def _fixed(what: str, month: float, count: int) -> Item:
    return Item(what, month, count, count, count)


def _nodes(planned: Plan, prices: Prices) -> Iterator[Item]:
    """Nodes with their disks; groups of a pool that differ by zone alone are one item."""
    disks: dict[str, tuple[int, int]] = {}
    for module, template in planned.each("aws_launch_template", LaunchTemplate):
        volumes = [volume for disk in template.block_device_mappings for volume in disk.ebs]
        paid_mib_s = sum(max(0, volume.throughput - FREE_MIB_S) for volume in volumes)
        disks[module] = sum(volume.volume_size for volume in volumes), paid_mib_s

    def kind(found: tuple[str, NodeGroup]) -> tuple[str, str, bool, tuple[int, int]]:
        module, group = found
        return group.labels["headwater.dev/pool"], group.instance_types[0], group.capacity_type == "SPOT", disks[module]

    found = sorted(planned.each("aws_eks_node_group", NodeGroup), key=kind)
    for (pool, instance, spot, (gib, paid_mib_s)), same in groupby(found, key=kind):
        scaling = [group.scaling_config[0] for _, group in same]
        machine = prices.month(prices.instance_hour, instance) * (prices.spot_share if spot else 1)
        yield Item(
            f"{pool}: {instance}{', spot' if spot else ''}, {gib} GiB",
            machine + gib * prices.ebs_gp3_gib_month + paid_mib_s * prices.ebs_gp3_mib_s_month,
            sum(each.min_size for each in scaling),
            sum(each.desired_size for each in scaling),
            sum(each.max_size for each in scaling),
        )


def table(rows: Sequence[Item]) -> str:
    """The items of an env, and their sum, as a table."""
    sums = [sum(months) for months in zip(*(row.months for row in rows), strict=True)]
    return "\n".join(
        [
            "| | each, $ a month | least | start | most | least, $ | start, $ | most, $ |",
            "|---|--:|--:|--:|--:|--:|--:|--:|",
            *(
                f"| {row.what} | {row.month:,.0f} | {row.least} | {row.start} | {row.most} | "
                f"{' | '.join(f'{month:,.0f}' for month in row.months)} |"
                for row in rows
            ),
            f"| **sum** | | | | | {' | '.join(f'**{total:,.0f}**' for total in sums)} |",
        ]
    )


def page(prices: Prices) -> str:
    """COSTS.md as it should be."""
    by_use = "\n".join(f"| {what} | {price:g} |" for what, price in prices.by_use.items())
    envs = "\n\n".join(f"## {env}\n\n{table(list(items(Plan.of(plan(f'envs/{env}')), prices)))}" for env in ENVS)
    return f"""# What the environments cost

Written by `python -m infra.terraform.costs` from the plan of each env and from `prices.json`; a test fails when it is
stale. Prices are those of {prices.region}, in dollars, as known at {prices.known_at}. {prices.note}

*Least* is when the autoscaler has taken all that it may; in prod, replicas that are always warm keep GPUs from going
there. *Start* is the count at creation, in prod what the smallest numbers of replicas in infra/k8s need. *Most* is as
far as the autoscaler goes. A group counts as the type that it names first.

- EKS: {prices.eks_note}
- Spot: {prices.spot_share:.0%} of the price on demand. {prices.spot_note}

{envs}

## By use

What depends on documents and questions, volumes of pods among it, is in no sum; `headwater size` reckons how much of it
there is.

| | $ |
|---|--:|
{by_use}
"""


def main(arguments: Sequence[str], to: Path = PAGE) -> int:
    prices = TypeAdapter(Prices).validate_json((HERE / "prices.json").read_bytes())
    try:
        text = page(prices)
    except Unavailable as missing:
        sys.stderr.write(f"COSTS.md cannot be reckoned: {missing}\n")
        return 2
    if "--check" not in arguments:
        to.write_text(text)
    elif to.read_text() != text:
        sys.stderr.write("COSTS.md is stale: run `python -m infra.terraform.costs`\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
