"""What infra/k8s renders is what the published schemas of the named versions allow, custom resources included."""

import copy
import shutil
from typing import Any

import pytest

from infra.k8s.schemas.published import published
from infra.k8s.schemas.strict import Checker
from tests.infra.manifests import COMBINATIONS, of_kind, rendered

# The first run on a machine downloads 70 MB.
pytestmark = [pytest.mark.infra, pytest.mark.timeout(900)]
MISSING = object()

WRONG = [
    # Unknown fields.
    ("Deployment", "spec.replica", 2, "$.spec: Additional properties are not allowed ('replica' was unexpected)"),
    ("Deployment", "spec.template.spec.containers.0.imagepullpolicy", "Always", "'imagepullpolicy' was unexpected"),
    ("Deployment", "metadata.label", {}, "'label' was unexpected"),
    ("Certificate", "spec.dnsName", ["x"], "'dnsName' was unexpected"),
    ("ExternalSecret", "spec.target.creationpolicy", "Owner", "'creationpolicy' was unexpected"),
    ("ExternalSecret", "metadata.label", {}, "'label' was unexpected"),
    ("Kafka", "spec.kafka.listener", [], "'listener' was unexpected"),
    ("KafkaUser", "spec.authorization.acls.0.resource.names", "x", "'names' was unexpected"),
    ("Milvus", "spec.component", {}, "'component' was unexpected"),
    ("ScaledObject", "spec.scaleTargetRef.nam", "x", "'nam' was unexpected"),
    ("ServiceMonitor", "spec.endpoint", [], "'endpoint' was unexpected"),
    # Fields that have to be there.
    ("Deployment", "spec.selector", MISSING, "'selector' is a required property"),
    ("Service", "spec.ports.0.port", MISSING, "'port' is a required property"),
    ("Certificate", "spec.secretName", MISSING, "'secretName' is a required property"),
    ("ExternalSecret", "spec.data.0.remoteRef", MISSING, "'remoteRef' is a required property"),
    ("Kafka", "spec.kafka.listeners.0.tls", MISSING, "'tls' is a required property"),
    ("KafkaNodePool", "spec.storage", MISSING, "'storage' is a required property"),
    ("ScaledObject", "spec.triggers.0.type", MISSING, "'type' is a required property"),
    ("ServiceMonitor", "spec.selector", MISSING, "'selector' is a required property"),
    # Values that are not allowed.
    ("Deployment", "spec.template.spec.containers.0.imagePullPolicy", "Often", "'Often' is not one of"),
    ("NetworkPolicy", "spec.policyTypes.0", "ingress", "'ingress' is not one of"),
    ("Certificate", "spec.privateKey", {"algorithm": "rsa"}, "'rsa' is not one of"),
    ("ExternalSecret", "spec.target.creationPolicy", "Owned", "'Owned' is not one of"),
    ("KafkaNodePool", "spec.roles.0", "brokers", "'brokers' is not one of"),
    ("KafkaUser", "spec.authentication.type", "scram", "'scram' is not one of"),
    ("ServiceMonitor", "spec.endpoints.0.scheme", "ftp", "'ftp' is not one of"),
    ("ServiceMonitor", "spec.endpoints.0.interval", "often", "'often' does not match"),
    ("KafkaTopic", "spec.partitions", 0, "0 is less than the minimum of 1"),
    ("Deployment", "spec.replicas", 2**31, "is not a 'int32'"),
    ("Service", "spec.ports.1", {"name": "again", "port": 4318}, "two items have {'port': 4318, 'protocol': None}"),
    # Types.
    ("Deployment", "spec.replicas", "two", "'two' is not of type 'integer'"),
    ("PodDisruptionBudget", "spec.maxUnavailable", [], "is not valid under any of the given schemas"),
    ("Certificate", "spec.dnsNames", "x", "'x' is not of type 'array'"),
    ("ExternalSecret", "spec.refreshInterval", 3600, "3600 is not of type 'string'"),
    ("Kafka", "spec.kafka.listeners.0.port", "9093", "'9093' is not of type 'integer'"),
    ("Milvus", "spec.mode", 1, "1 is not of type 'string'"),
    ("ScaledObject", "spec.minReplicaCount", "1", "'1' is not of type 'integer'"),
    ("PrometheusRule", "spec.groups.0.rules.0.alert", 1, "1 is not of type 'string'"),
]


@pytest.fixture(scope="module")
def checker() -> Checker:
    if shutil.which("go") is None:
        pytest.skip("no go on the PATH: infra/k8s is checked against no schema; install 1.25.11 or newer")
    return Checker(published())


@pytest.mark.parametrize("tree", COMBINATIONS)
def test_every_object_is_what_the_schema_of_its_kind_allows(tree: str, checker: Checker) -> None:
    assert [fault for each in rendered(tree) for fault in checker.faults(each)] == []


@pytest.mark.parametrize(("kind", "path", "value", "fault"), WRONG)
def test_what_no_schema_allows_is_named_with_its_object(
    kind: str, path: str, value: object, fault: str, checker: Checker
) -> None:
    wrong: Any = copy.deepcopy(next(of_kind("overlays/prod", kind)))
    *parents, last = [int(step) if step.isdigit() else step for step in path.split(".")]
    within = wrong
    for step in parents:
        within = within[step]
    if value is MISSING:
        del within[last]
    elif isinstance(last, int):
        within[last : last + 1] = [value]
    else:
        within[last] = value
    said = checker.faults(wrong)
    assert all(each.startswith(f"{kind}/{wrong['metadata']['name']}: $.") for each in said)
    assert any(fault in each for each in said), said


def test_a_kind_without_a_schema_is_an_error(checker: Checker) -> None:
    rocket = {"apiVersion": "example.org/v1", "kind": "Rocket", "metadata": {"name": "x"}}
    assert checker.faults(rocket) == ["Rocket/x: no schema of Rocket in example.org/v1"]
    old = {"apiVersion": "policy/v1beta1", "kind": "PodDisruptionBudget", "metadata": {"name": "x"}}
    assert checker.faults(old) == ["PodDisruptionBudget/x: no schema of PodDisruptionBudget in policy/v1beta1"]
