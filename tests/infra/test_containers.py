"""Every container of every combination is bounded, probed, confined, and of one version."""

import re
from collections.abc import Mapping
from typing import Any

import pytest

from tests.infra.manifests import COMBINATIONS, of_kind, pods, rendered

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
        here = [each for key, each in value.items() if key == "image" and isinstance(each, str)]
        return here + [image for each in value.values() for image in _images(each)]
    return [image for each in value for image in _images(each)] if isinstance(value, list) else []
