"""The GPU pools of three clouds have one shape; those whose provider is not at hand are read as HCL."""

import json
import re
from collections.abc import Mapping
from typing import Any

import pytest

from tests.infra.hcl import TERRAFORM, parsed

MODULES = TERRAFORM / "modules"
CLOUDS = {
    "gpu_pool": "aws",
    "gke_gpu_pool": "google",
    "aks_gpu_pool": "azurerm",
}
OTHERS = [module for module in CLOUDS if module != "gpu_pool"]
SHAPE = {"name", "pool", "kubernetes_version", "instance_types", "capacity", "nodes", "disk_gib", "sharing"}
"""What every pool is asked for, in the same words."""


def named(module: str, file: str, kind: str) -> Mapping[str, dict[str, Any]]:
    """The blocks of a kind, by name."""
    return {name: block for each in parsed(f"modules/{module}/{file}")[kind] for name, block in each.items()}


def written(module: str) -> str:
    """What a module's main file says, without comments and with single spaces."""
    text = re.sub(r"^\s*#.*$", "", (MODULES / module / "main.tf").read_text(), flags=re.MULTILINE)
    return re.sub(r"[ \t]+", " ", text)


@pytest.mark.parametrize("module", CLOUDS)
def test_every_pool_is_asked_for_in_the_same_words(module: str) -> None:
    assert set(named(module, "variables.tf", "variable")) >= SHAPE
    assert set(named(module, "outputs.tf", "output")) >= {"name", "gpus_per_node"}


@pytest.mark.parametrize("module", OTHERS)
@pytest.mark.parametrize("variable", ["pool", "capacity", "nodes", "instance_types", "sharing", "disk_gib"])
def test_a_question_has_the_same_type_and_default_in_every_cloud(module: str, variable: str) -> None:
    ours, theirs = (
        named("gpu_pool", "variables.tf", "variable")[variable],
        named(module, "variables.tf", "variable")[variable],
    )
    assert (theirs["type"], theirs.get("default")) == (ours["type"], ours.get("default"))


@pytest.mark.parametrize("module", CLOUDS)
def test_labels_and_taints_come_from_one_place(module: str) -> None:
    (node,) = [block for name, block in named(module, "main.tf", "module").items() if name == "node"]
    assert (node["source"], node["pool"], node["sharing"]) == ("../gpu_node", "${var.pool}", "${var.sharing}")
    assert "module.node.labels" in written(module)
    assert "module.node.taints" in written(module)
    assert "headwater.dev/pool" not in written(module)


@pytest.mark.parametrize(("module", "provider"), CLOUDS.items())
def test_the_provider_is_pinned(module: str, provider: str) -> None:
    [block] = parsed(f"modules/{module}/versions.tf")["terraform"]
    [required] = block["required_providers"]
    assert set(required) == {provider}
    assert re.fullmatch(r"~> \d+\.\d+", required[provider]["version"])
    assert required[provider]["source"] == f"hashicorp/{provider}"


@pytest.mark.parametrize("module", OTHERS)
def test_every_machine_says_what_it_has(module: str) -> None:
    machines = json.loads((MODULES / module / "machines.json").read_text())
    for name, machine in machines.items():
        assert set(machine) - {"mig"} == {"gpu", "gpus", "gpu_memory_gib", "vcpus", "memory_gib"}, name
        assert all(2 <= int(pods) <= 7 for pods in machine.get("mig", {})), name


def test_gke_installs_driver_and_plugin_and_keeps_the_nodes_identity_from_pods() -> None:
    text = written("gke_gpu_pool")
    assert re.search(r"gpu_driver_installation_config \{\s*gpu_driver_version = \"LATEST\"", text)
    assert re.search(r"workload_metadata_config \{\s*mode = \"GKE_METADATA\"", text)
    assert "total_min_node_count = var.nodes.min" in text
    assert 'spot = var.capacity == "spot"' in text


def test_aks_installs_the_driver_and_names_what_it_adds_to_spot_nodes() -> None:
    (pool,) = named("aks_gpu_pool", "main.tf", "resource")["azurerm_kubernetes_cluster_node_pool"].values()
    assert pool["gpu_driver"] == "Install"
    assert (pool["min_count"], pool["max_count"]) == ("${var.nodes.min}", "${var.nodes.max}")
    assert pool["auto_scaling_enabled"] is True
    assert "kubernetes.azure.com/scalesetpriority=spot:NoSchedule" in written("aks_gpu_pool")
