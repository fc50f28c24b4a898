"""What infra/k8s renders is what the published schemas of the named versions allow, custom resources included."""

import copy
import re
import shutil
import subprocess
import sys
from typing import Any

import pytest
import yaml

from infra.k8s.schemas.published import HERE, STRIMZI, published
from infra.k8s.schemas.strict import Checker
from tests.blocks import CHECKOUT, PAGES, blocks
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
    ("Deployment", "spec.template.spec.containers.0.env", ["x"], "'x' is not of type 'object'"),
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


def test_every_object_in_the_documentation_is_what_the_schema_of_its_kind_allows(checker: Checker) -> None:
    written = ["\n".join(block.lines) for page in PAGES for block in blocks(page) if block.language == "yaml"]
    objects = [each for text in written for each in yaml.safe_load_all(text) if "apiVersion" in each]
    assert objects
    assert [fault for each in objects for fault in checker.faults(each)] == []


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
    removed = {"apiVersion": "policy/v1beta1", "kind": "PodDisruptionBudget", "metadata": {"name": "x"}}
    assert checker.faults(removed) == ["PodDisruptionBudget/x: no schema of PodDisruptionBudget in policy/v1beta1"]


@pytest.mark.usefixtures("checker")  # which skips
def test_what_comes_by_a_pipe_is_checked_too() -> None:
    right, other = list(of_kind("overlays/dev", "KafkaTopic"))[:2]
    wrong = {**other, "spec": {**other["spec"], "partitions": "1"}}
    done = subprocess.run(
        [sys.executable, "-m", "infra.k8s.schemas"],
        cwd=CHECKOUT,
        input=yaml.safe_dump_all([right, wrong]),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.stderr == f"KafkaTopic/{wrong['metadata']['name']}: $.spec.partitions: '1' is not of type 'integer'\n"
    assert done.returncode == 1


def test_schemas_are_of_the_versions_that_the_documentation_names() -> None:
    page = (CHECKOUT / "docs" / "kubernetes.md").read_text()
    named = dict(re.findall(r"^\| (\w+[\w -]*\w)[^|]* \| (\d[\d.]*)", page, re.MULTILINE))
    pinned = dict(re.findall(r"^\t(\S+) v(\S+)$", (HERE / "go.mod").read_text(), re.MULTILINE))
    pinned |= re.findall(r"(\S+):(\S+)$", STRIMZI.read_text(), re.MULTILINE)
    for operator, module in {
        "Strimzi": "io.strimzi:api",
        "Milvus operator": "github.com/zilliztech/milvus-operator",
        "External Secrets": "github.com/external-secrets/external-secrets",
        "cert-manager": "github.com/cert-manager/cert-manager",
        "KEDA": "github.com/kedacore/keda/v2",
        "Prometheus operator": "github.com/prometheus-operator/prometheus-operator",
    }.items():
        assert f"{pinned[module]}.".startswith(f"{named[operator]}."), operator
    [kubernetes] = re.findall(r"^Kubernetes (\d+\.\d+) ", page, re.MULTILINE)
    assert pinned["k8s.io/kubernetes"].startswith(f"{kubernetes}.")
