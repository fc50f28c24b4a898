"""Network policies let pods through to what they ask, at both ends, and name no pod and no port that nobody has."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import pytest

from streams.composition import Backends
from streams.drawing import ports
from streams.pipelines import ingest, query
from streams.settings import Settings
from tests.infra.manifests import COMBINATIONS, ROOT, chosen, name_of, of_kind, pods
from tests.infra.test_references import environment, ports_of, workers

GUARDED = [
    tree
    for tree in COMBINATIONS
    if tree.startswith("overlays/") or "/network-policies" in (ROOT / tree / "kustomization.yaml").read_text()
]
STRIMZI: Mapping[str | int, int] = {9090: 9090, 9091: 9091, "tcp-prometheus": 9404}
"""What Kafka's pods listen on, beside the listeners."""
BY_HAND = {
    "client": {"kafka", "otlp_endpoint"},
    "operator": {"kafka", "index", "embedder"},
    "index": {"index", "embedder"},
    "backup": {"kafka"},
    "restore": {"kafka"},
    "forget": set[str](),
}
"""Settings whose servers are asked by pods that run no stage."""


@dataclass(frozen=True, slots=True)
class End:
    """Pods as a policy sees them, and what they listen on."""

    labels: Mapping[str, str]
    ports: Mapping[str | int, int]
    own_rules: Sequence[Mapping[str, Any]] = ()
    """Of the policy that an operator makes for them itself."""


def ends(tree: str) -> Iterator[End]:
    """Our own pods, and those that operators will make."""
    for pod in pods(tree):
        yield End(pod.labels, ports_of(pod))
    for kafka in of_kind(tree, "Kafka"):
        yield brokers(kafka)
    for milvus in of_kind(tree, "Milvus"):
        name, etcd = milvus["metadata"]["name"], milvus["spec"]["dependencies"]["etcd"]["inCluster"]["values"]
        chart = {"app.kubernetes.io/instance": f"{name}-etcd", "app.kubernetes.io/name": "etcd"}
        yield End(chart | etcd["podLabels"], {2379: 2379, "metrics": 2379})
        operator = {"app.kubernetes.io/instance": name, "app.kubernetes.io/name": "milvus"}
        for role, each in milvus["spec"]["components"].items():
            if isinstance(each, dict) and "podLabels" in each:
                yield End(operator | each["podLabels"], {"metrics": 9091} | ({19530: 19530} if role == "proxy" else {}))


def brokers(kafka: Mapping[str, Any]) -> End:
    listeners = kafka["spec"]["kafka"]["listeners"]
    labels = kafka["metadata"]["labels"] | {"strimzi.io/cluster": kafka["metadata"]["name"], "strimzi.io/kind": "Kafka"}
    rules = [{"from": each["networkPolicyPeers"], "ports": [{"port": each["port"]}]} for each in listeners]
    return End(labels, {**STRIMZI, **{each["port"]: each["port"] for each in listeners}}, rules)


def names(peer: Mapping[str, Any], end: End) -> bool:
    """Whether a rule's peer is this end."""
    return set(peer) == {"podSelector"} and chosen(peer["podSelector"] or {}, end.labels)


def claims(tree: str) -> Iterator[tuple[str, bool]]:
    """What policies say of pods of this namespace, and whether it is so in this tree."""
    known = list(ends(tree))
    for policy in of_kind(tree, "NetworkPolicy"):
        spec, name = policy["spec"], name_of(policy)
        bound = [end for end in known if chosen(spec["podSelector"] or {}, end.labels)]
        yield f"{name} is for pods {spec['podSelector']}", bool(bound)
        for rule in (*spec.get("ingress", ()), *spec.get("egress", ())):
            peers = rule.get("from") or rule["to"]
            met = [end for end in known if any(names(peer, end) for peer in peers)]
            here = [peer for peer in peers if set(peer) == {"podSelector"}]
            for peer in here:
                yield f"{name} names {peer}", any(names(peer, end) for end in known)
            for port in rule.get("ports", ()) if "from" in rule or here else ():
                listening = bound if "from" in rule else met
                yield f"{name} names {port} of {peers}", any(port["port"] in end.ports for end in listening)


def test_whoever_a_policy_names_is_in_some_combination_and_listens_there() -> None:
    found: dict[str, bool] = {}
    for tree in GUARDED:
        for claim, holds in claims(tree):
            found[claim] = found.get(claim, False) or holds
    assert [claim for claim, holds in found.items() if not holds] == []


@pytest.mark.parametrize("tree", GUARDED)
def test_whatever_no_policy_names_is_cut_off(tree: str) -> None:
    [deny] = [each for each in of_kind(tree, "NetworkPolicy") if each["metadata"]["name"] == "default-deny"]
    assert deny["spec"]["podSelector"] in ({}, None)
    assert set(deny["spec"]["policyTypes"]) == {"Ingress", "Egress"}
    assert not deny["spec"].get("ingress")
    assert not deny["spec"].get("egress")


def asks() -> Mapping[str, set[str]]:
    """Settings whose servers a pod asks, by its component: of a stage, those of its processor's ports."""
    backends = Backends(settings := Settings())
    stages = (*ingest(backends, settings).stages, *query(backends, settings).stages)
    found = BY_HAND | {stage.name: {"kafka", "otlp_endpoint", *ports(stage)} for stage in stages}
    found["generate"].add("embedder")  # which extractive answers compare sentences by
    return found


def asked(tree: str, settings: set[str], given: Mapping[str, str]) -> Iterator[tuple[str, End, int]]:
    """The servers of this namespace that a pod's settings name, and which of their own ports it asks."""
    services = {each["metadata"]["name"]: each["spec"] for each in of_kind(tree, "Service")}
    made = {f"{each['metadata']['name']}-milvus" for each in of_kind(tree, "Milvus")}
    made |= {f"{each['metadata']['name']}-kafka-bootstrap" for each in of_kind(tree, "Kafka")}
    for url in (given.get(f"HEADWATER_{setting.upper()}", "") for setting in sorted(settings)):
        target = urlsplit(url if "://" in url else f"kafka://{url}")
        if target.hostname in services:
            service = services[target.hostname]
            [opened] = [each["targetPort"] for each in service["ports"] if each["port"] == target.port]
            for end in (end for end in ends(tree) if chosen(service["selector"], end.labels)):
                yield url, end, end.ports[opened]
        elif target.hostname in made:
            assert target.port
            yield url, next(end for end in ends(tree) if target.port in end.ports), target.port


def of(policies: Sequence[Mapping[str, Any]], direction: str, end: End) -> Iterator[Mapping[str, Any]]:
    """The rules that these pods are under."""
    for policy in policies:
        if chosen(policy["podSelector"] or {}, end.labels):
            yield from policy.get(direction, ())


def lets(rules: Iterable[Mapping[str, Any]], side: str, other: End, listening: End, port: int) -> bool:
    return any(
        any(names(peer, other) for peer in rule[side])
        and any(listening.ports.get(each["port"]) == port for each in rule["ports"])
        for rule in rules
    )


@pytest.mark.parametrize("tree", GUARDED)
def test_a_pod_reaches_the_servers_that_its_settings_name(tree: str) -> None:
    policies = [each["spec"] for each in of_kind(tree, "NetworkPolicy")]
    reached = set()
    for pod, container in workers(tree):
        if "command" in container:
            continue  # a server, from the image for laptops
        component, here = pod.labels["app.kubernetes.io/component"], End(pod.labels, {})
        for url, there, port in asked(tree, asks()[component], environment(tree, container)):
            out, into = of(policies, "egress", here), (*of(policies, "ingress", there), *there.own_rules)
            assert lets(out, "to", there, there, port), f"{component} may not ask {url}: nothing lets it out to {port}"
            assert lets(into, "from", here, there, port), f"{component} may not ask {url}: {port} does not let it in"
            reached.add(component)
    assert reached >= asks().keys() - BY_HAND.keys()
