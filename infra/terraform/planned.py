"""What of a plan is paid for by the month, in the shape in which Terraform shows it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

from pydantic import TypeAdapter

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Scaling:
    min_size: int
    desired_size: int
    max_size: int


@dataclass(frozen=True, slots=True)
class NodeGroup:
    instance_types: list[str]
    capacity_type: str
    labels: dict[str, str]
    scaling_config: list[Scaling]


@dataclass(frozen=True, slots=True)
class Volume:
    volume_size: int = 0
    """In GiB; zero: as large as the image's."""
    throughput: int = 0
    """In MiB/s; zero: what is in its price."""


@dataclass(frozen=True, slots=True)
class Disk:
    ebs: list[Volume]


@dataclass(frozen=True, slots=True)
class LaunchTemplate:
    block_device_mappings: list[Disk]


@dataclass(frozen=True, slots=True)
class Cluster:
    version: str


@dataclass(frozen=True, slots=True)
class Provisioned:
    volume_size: int


@dataclass(frozen=True, slots=True)
class BrokerStorage:
    ebs_storage_info: list[Provisioned]


@dataclass(frozen=True, slots=True)
class Brokers:
    instance_type: str
    storage_info: list[BrokerStorage]


@dataclass(frozen=True, slots=True)
class Msk:
    number_of_broker_nodes: int
    broker_node_group_info: list[Brokers]


@dataclass(frozen=True, slots=True)
class Change:
    after: dict[str, object] | None


@dataclass(frozen=True, slots=True)
class Resource:
    address: str
    type: str
    change: Change
    module_address: str = ""


@dataclass(frozen=True, slots=True)
class Plan:
    resource_changes: list[Resource]

    @classmethod
    def of(cls, shown: Mapping[str, object]) -> "Plan":
        """The plan that `offline.plan` shows."""
        return TypeAdapter(cls).validate_python(shown)

    def count(self, kind: str) -> int:
        return sum(one.type == kind and one.change.after is not None for one in self.resource_changes)

    def each(self, kind: str, shape: type[T]) -> list[tuple[str, T]]:
        """Every resource of a kind as `shape`, with the address of its module."""
        adapter = TypeAdapter(shape)
        found = [one for one in self.resource_changes if one.type == kind and one.change.after is not None]
        return [(one.module_address, adapter.validate_python(one.change.after)) for one in found]
