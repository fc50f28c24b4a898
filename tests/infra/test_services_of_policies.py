"""What a network policy lets pods ask is let through by its Service's address, too: EKS' agent sees nothing else."""

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import pytest

from tests.infra.manifests import Object, Pods, chosen, of_kind, pods
from tests.infra.test_network_policies import GUARDED

MILVUS = {"app.kubernetes.io/instance": "headwater", "app.kubernetes.io/name": "milvus", "milvus.io/service": "true"}
ETCD = {"app.kubernetes.io/instance": "headwater-etcd", "app.kubernetes.io/name": "etcd"}
BY_ADDRESS = "milvus asks headwater-milvus"
"""Its nodes know each other's own addresses."""
KAFKA = {"strimzi.io/cluster": "headwater", "strimzi.io/kind": "Kafka", "strimzi.io/name": "headwater-kafka"}


@dataclass(frozen=True, slots=True)
class Reached:
    """A Service as the agent knows it."""

    name: str
    selector: Mapping[str, str]
    labels: Mapping[str, str]
    """Of its pods."""
    ports: set[int]
    """Of its pods, as far as the agent finds the Service's own for them."""


def operated(tree: str) -> Iterator[Reached]:
    """The Services that operators make: their selectors are said in the operators' code, and nowhere here."""
    if list(of_kind(tree, "Milvus")):
        yield Reached("headwater-milvus", MILVUS, MILVUS | {"headwater.dev/milvus": "proxy"}, {19530})
        yield Reached("headwater-etcd", ETCD, ETCD | {"headwater.dev/milvus": "etcd"}, {2379})
    yield Reached("headwater-kafka-bootstrap", KAFKA, KAFKA, {9091, 9093})


def found(service: Object, pod: Pods) -> set[int]:
    """Ports of a pod that the agent traces back to the Service: by number, or by the name of a container's port."""
    named = {port.get("name"): port["containerPort"] for one in pod.spec["containers"] for port in one.get("ports", ())}
    targets = [port.get("targetPort", port["port"]) for port in service["spec"]["ports"]]
    return {number for target in targets if isinstance(number := named.get(target, target), int)}


def reached(tree: str) -> Iterator[Reached]:
    yield from operated(tree)
    for service, pod in itertools.product(of_kind(tree, "Service"), list(pods(tree))):
        selector = service["spec"]["selector"]
        if service["spec"].get("clusterIP") != "None" and chosen(selector, pod.labels):
            yield Reached(service["metadata"]["name"], selector, pod.labels, found(service, pod))


@pytest.mark.parametrize("tree", GUARDED)
def test_a_peer_that_meets_pods_of_a_service_meets_its_selector_and_port(tree: str) -> None:
    asked = set()
    services = list(reached(tree))
    for policy in of_kind(tree, "NetworkPolicy"):
        for rule in policy["spec"].get("egress", ()):
            peers = [peer["podSelector"] for peer in rule["to"] if set(peer) == {"podSelector"}]
            wanted = {port["port"] for port in rule.get("ports", ())}
            for service in services:
                where = f"{policy['metadata']['name']} asks {service.name}"
                if where != BY_ADDRESS and any(chosen(peer, service.labels) for peer in peers):
                    assert any(chosen(peer, service.selector) for peer in peers), where
                    assert not wanted or wanted & service.ports, f"{where} at {wanted}, which is {service.ports}"
                    asked.add(service.name)
    assert {"headwater-milvus", "headwater-kafka-bootstrap"} <= asked
