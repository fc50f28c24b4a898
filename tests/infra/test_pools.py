"""Whatever an overlay asks of a node, the env of Terraform that it is for has: pools, taints, sizes and counts."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from tests.infra.hcl import TERRAFORM, parsed
from tests.infra.manifests import Pods, name_of, of_kind, pods

ENVS = {"overlays/prod": "prod", "overlays/dev-aws": "dev"}
"""Which overlay is for which env; `overlays/dev` is for kind, whose node it names itself."""
GPU = "nvidia.com/gpu"
POOL = "headwater.dev/pool"
UNITS = {"m": 1e-3, "Mi": 2**-10, "Gi": 1.0}
SYSTEM_CPUS, SYSTEM_GIB = 0.2, 2.5
"""What a node keeps for itself and its daemon sets: of 4 CPUs and 16 GiB pods get 3.9 and 14."""


@dataclass(frozen=True, slots=True)
class Group:
    """GPU nodes, as an env describes them."""

    pool: str
    machines: tuple[str, ...]
    nodes: int
    parts: int
    """How many pods share a GPU."""


def platform(env: str) -> Mapping[str, Any]:
    [found] = [block["platform"] for block in parsed(f"envs/{env}/main.tf")["module"]]
    return dict(found)


def groups(env: str) -> Iterator[Group]:
    for group in platform(env)["gpu_pools"].values():
        parts = group.get("sharing", {}).get("pods", 1)
        yield Group(group["pool"], tuple(group["instance_types"]), int(group["nodes"]["max"]), int(parts))


def taints(pool: str) -> set[tuple[str, str, str]]:
    [values] = parsed("modules/gpu_node/main.tf")["locals"]
    return {(each["key"], each["value"].replace("${var.pool}", pool), each["effect"]) for each in values["taints"]}


MACHINES = json.loads((TERRAFORM / "modules" / "gpu_pool" / "instances.json").read_text())


def amount(text: str | int) -> float:
    """CPUs, or GiB."""
    number = str(text)
    unit = next((unit for unit in UNITS if number.endswith(unit)), "")
    return float(number.removesuffix(unit)) * UNITS.get(unit, 1.0)


def asked(pod: Pods, what: str) -> float:
    """What a pod asks for while it serves."""
    return sum(
        amount(container.get("resources", {}).get("requests", {}).get(what, 0))
        for _, container, serves in pod.containers()
        if serves or pod.ends
    )


def on_gpus(tree: str) -> list[Pods]:
    return [pod for pod in pods(tree) if asked(pod, GPU)]


def most(tree: str, owner: str) -> int:
    """So many pods of a Deployment there are at most: all replicas, and one more while it is rolled out."""
    [deployment] = [each for each in of_kind(tree, "Deployment") if name_of(each) == owner]
    name = deployment["metadata"]["name"]
    scaled = [each["spec"] for each in of_kind(tree, "ScaledObject") if each["spec"]["scaleTargetRef"]["name"] == name]
    replicas = [spec["maxReplicaCount"] for spec in scaled] or [deployment["spec"]["replicas"]]
    return int(replicas[0]) + int(deployment["spec"]["strategy"]["rollingUpdate"]["maxSurge"])


@pytest.mark.parametrize("tree", ENVS)
def test_every_pod_names_a_pool_of_its_env_and_bears_its_taints_and_no_others(tree: str) -> None:
    pools = {group.pool for group in groups(ENVS[tree])}
    assert {pod.spec["nodeSelector"][POOL] for pod in on_gpus(tree)} == pools
    for pod in pods(tree):
        pool = pod.spec["nodeSelector"][POOL]
        assert pool in pools | {"general"}, pod.owner
        tolerated = {(each["key"], each["value"], each["effect"]) for each in pod.spec.get("tolerations", ())}
        assert tolerated == (taints(pool) if pool in pools else set()), pod.owner
        assert bool(asked(pod, GPU)) == (pool in pools), pod.owner
    assert {each["spec"]["components"]["nodeSelector"][POOL] for each in of_kind(tree, "Milvus")} == {"general"}


@pytest.mark.parametrize("tree", ENVS)
def test_brokers_are_on_nodes_of_their_own_where_the_env_has_such(tree: str) -> None:
    hosting = platform(ENVS[tree]).get("kafka", {}).get("hosting", "shared")
    [broker] = [each for each in of_kind(tree, "KafkaNodePool") if each["metadata"]["name"] == "broker"]
    pod = broker["spec"]["template"]["pod"]
    [term] = pod["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
    [rule] = term["matchExpressions"]
    assert (rule["key"], rule["values"]) == (POOL, ["kafka" if hosting == "nodes" else "general"])
    assert {each["value"] for each in pod.get("tolerations", ())} == ({"kafka"} if hosting == "nodes" else set())


@pytest.mark.parametrize("tree", ENVS)
def test_a_pool_holds_all_pods_that_may_come_to_it_on_every_machine_that_it_may_get(tree: str) -> None:
    for group in groups(ENVS[tree]):
        here = [pod for pod in on_gpus(tree) if pod.spec["nodeSelector"][POOL] == group.pool]
        gpus = sum(most(tree, pod.owner) * asked(pod, GPU) for pod in here)
        for machine in group.machines:
            has = MACHINES[machine]
            parts = int(has["gpus"]) * group.parts
            assert max(asked(pod, GPU) for pod in here) <= parts, f"{group.pool}: {machine} has {parts} GPUs or parts"
            assert gpus <= group.nodes * parts, f"{group.pool}: {gpus} GPUs on {group.nodes} x {parts} of {machine}"
            cpus, gib = max(asked(pod, "cpu") for pod in here), max(asked(pod, "memory") for pod in here)
            assert cpus * parts <= has["vcpus"] - SYSTEM_CPUS, f"{group.pool}: {cpus} CPUs x {parts} on {machine}"
            assert gib * parts <= has["memory_gib"] - SYSTEM_GIB, f"{group.pool}: {gib} GiB x {parts} on {machine}"
