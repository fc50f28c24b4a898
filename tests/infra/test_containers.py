"""Every container of every combination is bounded, probed, confined, and of one version."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from tests.infra.manifests import COMBINATIONS, Object, name_of, of_kind, pods, rendered

VERSIONED = re.compile(r"^[\w./-]+:(?=[\w.-]*\d)[\w.-]+(@sha256:[0-9a-f]{64})?$")
SECRET_NAMES = re.compile(r"PASSWORD|SECRET|TOKEN|_KEY$|CREDENTIAL", re.IGNORECASE)


@pytest.mark.parametrize("tree", COMBINATIONS)
def test_every_container_has_requests_and_limits(tree: str) -> None:
    for pod in pods(tree):
        for name, container, _ in pod.containers():
            resources = container.get("resources", {})
            for kind in ("requests", "limits"):
                assert resources.get(kind, {}).keys() >= {"cpu", "memory"}, f"{name} has no {kind}"
            gpus = [resources[kind].get("nvidia.com/gpu") for kind in ("requests", "limits")]
            assert gpus[0] == gpus[1], f"{name}: a GPU is given whole"


@pytest.mark.parametrize("tree", COMBINATIONS)
def test_every_container_that_serves_is_probed(tree: str) -> None:
    for pod in pods(tree):
        for name, container, serves in pod.containers():
            if serves:
                missing = {"startupProbe", "readinessProbe", "livenessProbe"} - container.keys()
                assert not missing, f"{name} has no {', '.join(sorted(missing))}"


@pytest.mark.parametrize("tree", COMBINATIONS)
def test_every_container_is_confined(tree: str) -> None:
    for pod in pods(tree):
        assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.spec.keys(), pod.owner
        assert not [volume for volume in pod.spec.get("volumes", ()) if "hostPath" in volume], pod.owner
        for name, container, _ in pod.containers():
            said = {**pod.spec.get("securityContext", {}), **container.get("securityContext", {})}
            assert said.get("runAsNonRoot") is True, name
            assert said.get("seccompProfile") == {"type": "RuntimeDefault"}, name
            assert said.get("allowPrivilegeEscalation") is False, name
            assert said.get("capabilities") == {"drop": ["ALL"]}, name
            assert said.get("readOnlyRootFilesystem") is True, name
            assert not said.get("privileged"), name


def of_operators(tree: str) -> Iterator[tuple[str, Object, Object]]:
    """What custom resources say of containers: whose, their resources, and their and their pod's security context."""
    for pool in of_kind(tree, "KafkaNodePool"):
        made = pool["spec"]["template"]
        context = {**made["pod"]["securityContext"], **made["kafkaContainer"]["securityContext"]}
        yield name_of(pool), pool["spec"].get("resources", {}), context
    for kafka in of_kind(tree, "Kafka"):
        operator = kafka["spec"]["entityOperator"]
        parts = [
            (operator[part], operator["template"], f"{part}Container") for part in ("topicOperator", "userOperator")
        ]
        if exporter := kafka["spec"].get("kafkaExporter"):
            parts.append((exporter, exporter["template"], "container"))
        for part, made, container in parts:
            context = {**made["pod"]["securityContext"], **made[container]["securityContext"]}
            yield f"{name_of(kafka)}: {container}", part.get("resources", {}), context
    for milvus in of_kind(tree, "Milvus"):
        components, etcd = milvus["spec"]["components"], milvus["spec"]["dependencies"]["etcd"]["inCluster"]["values"]
        for role, part in components.items():
            if isinstance(part, dict) and "replicas" in part:
                yield f"{name_of(milvus)}/{role}", part.get("resources", {}), components["securityContext"]
        yield f"{name_of(milvus)}/etcd", etcd.get("resources", {}), etcd["containerSecurityContext"]


@pytest.mark.parametrize("tree", COMBINATIONS)
def test_containers_that_operators_make_are_bounded_and_confined(tree: str) -> None:
    for name, resources, said in of_operators(tree):
        for kind in ("requests", "limits"):
            assert resources.get(kind, {}).keys() >= {"cpu", "memory"}, f"{name} has no {kind}"
        assert said["runAsNonRoot"] is True, name
        assert said["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert said["allowPrivilegeEscalation"] is False, name
        assert said["capabilities"] == {"drop": ["ALL"]}, name


@pytest.mark.parametrize("tree", COMBINATIONS)
def test_the_namespace_admits_only_what_is_confined(tree: str) -> None:
    for namespace in of_kind(tree, "Namespace"):
        labels = namespace["metadata"]["labels"]
        assert labels["pod-security.kubernetes.io/enforce"] == "restricted"


@pytest.mark.parametrize("tree", COMBINATIONS)
def test_every_image_has_one_version(tree: str) -> None:
    for pod in pods(tree):
        for name, container, _ in pod.containers():
            image = container["image"]
            assert VERSIONED.match(image), f"{name}: {image}"
    for each in rendered(tree):
        for image in _images(each):
            assert VERSIONED.match(image), f"{each['kind']}: {image}"


@pytest.mark.parametrize("tree", COMBINATIONS)
def test_no_secret_stands_in_the_tree(tree: str) -> None:
    assert not list(of_kind(tree, "Secret")), "secrets come from the store of secrets, or from an operator"
    for pod in pods(tree):
        for name, container, _ in pod.containers():
            for variable in container.get("env", ()):
                plain = "value" in variable and SECRET_NAMES.search(variable["name"])
                assert not plain, f"{name}: {variable['name']} has its value in the clear"
    for config in of_kind(tree, "ConfigMap"):
        for key in config.get("data", {}):
            assert not SECRET_NAMES.search(key), f"{config['metadata']['name']}: {key}"


def _images(value: Any) -> list[str]:
    """Of custom resources, whose operators start them."""
    if isinstance(value, Mapping):
        named = [each for key, each in value.items() if key.lower().endswith("image")]
        here = [each if isinstance(each, str) else f"{each['repository']}:{each['tag']}" for each in named]
        return here + [image for each in value.values() for image in _images(each)]
    return [image for each in value for image in _images(each)] if isinstance(value, list) else []
