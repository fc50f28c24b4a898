"""Prices of machines and storage, from a file such as infra/terraform/prices.json."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

BETWEEN_ZONES, OBJECTS = "a GiB between zones, both ends", "a GiB of objects in S3, a month"


@dataclass(frozen=True, slots=True, kw_only=True)
class Prices:
    """What things cost, in the file's currency."""

    known_at: str
    region: str
    currency: str
    hours_per_month: float
    instance_hour: Mapping[str, float]
    """On demand."""
    cluster_hour: float
    """Of a Kubernetes version within its standard support."""
    disk_gib_month: float
    object_gib_month: float
    zone_gib: float
    """Sent from one zone to another."""

    @classmethod
    def read(cls, path: Path) -> Self:
        """Raises ValueError where the file is none or lacks a price."""
        try:
            listed = json.loads(path.read_text(encoding="utf-8"))
            return cls(
                known_at=str(listed["known_at"]),
                region=str(listed["region"]),
                currency=str(listed["currency"]),
                hours_per_month=float(listed["hours_per_month"]),
                instance_hour={name: float(hour) for name, hour in listed["instance_hour"].items()},
                cluster_hour=min(map(float, listed["eks_cluster_hour"].values())),
                disk_gib_month=float(listed["ebs_gp3_gib_month"]),
                object_gib_month=float(listed["by_use"][OBJECTS]),
                zone_gib=float(listed["by_use"][BETWEEN_ZONES]),
            )
        except OSError as error:
            raise ValueError(f"{path}: {error.strerror}: give a file such as infra/terraform/prices.json") from error
        except KeyError as error:
            raise ValueError(f"{path} has no price {error}: add it as infra/terraform/prices.json has it") from error
        except (AttributeError, TypeError, ValueError) as error:
            raise ValueError(f"{path} is no file of prices such as infra/terraform/prices.json: {error}") from error

    def machine_month(self, machine: str) -> float:
        if machine not in self.instance_hour:
            raise ValueError(f"no price for {machine!r} in instance_hour: add what it costs an hour")
        return self.instance_hour[machine] * self.hours_per_month
