"""Machines without cards: for workers, Milvus but its query nodes, and what runs beside them."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

from streams.sizing.figures import Figures
from streams.sizing.load import Load
from streams.sizing.models import GENERAL, GENERAL_NODE
from streams.sizing.stages import StageSize


@dataclass(frozen=True, slots=True, kw_only=True)
class GeneralSize:
    """The pool `general`."""

    machine: str
    machines: int
    cores: float
    memory_gib: float
    arithmetic: tuple[str, ...]


def general_size(load: Load, figures: Figures, stages: Sequence[StageSize]) -> GeneralSize:
    worker_cores = sum(stage.replicas * stage.cores for stage in stages)
    worker_gib = sum(stage.replicas * stage.memory_gib for stage in stages)
    cores = worker_cores + load.replicas * figures.milvus_other_cores + figures.platform_cores
    memory_gib = worker_gib + load.replicas * figures.milvus_other_memory_gib + figures.platform_memory_gib
    by_cores = ceil(cores / (GENERAL.cores * figures.machine_share))
    by_memory = ceil(memory_gib / (GENERAL.memory_gib * figures.machine_share))
    machines = max(load.replicas, by_cores, by_memory)
    lines = (
        (
            f"cores        {worker_cores:g} of workers + {load.replicas} x {figures.milvus_other_cores:g} + "
            f"{figures.platform_cores:g} = {cores:g} / ({GENERAL.cores} x {figures.machine_share:g}) = {by_cores}"
        ),
        (
            f"memory       {worker_gib:g} GiB of workers + {load.replicas} x {figures.milvus_other_memory_gib:g} + "
            f"{figures.platform_memory_gib:g} = {memory_gib:g} / ({GENERAL.memory_gib} x {figures.machine_share:g}) = "
            f"{by_memory}"
        ),
    )
    return GeneralSize(machine=GENERAL_NODE, machines=machines, cores=cores, memory_gib=memory_gib, arithmetic=lines)
