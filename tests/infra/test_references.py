"""Whatever an object of infra/k8s names is there: pods, ports, routes, settings, topics, groups and users."""

import itertools
import json
import re
from collections.abc import Iterator, Mapping
from urllib.parse import urlsplit

import pytest

from streams.health import Health
from streams.settings import Settings
from streams.topics import TOPICS
from tests.infra.manifests import COMBINATIONS, Object, Pods, chosen, name_of, of_kind, pods

ROUTES = {
    "text-embeddings-inference": {"/health"},
    "vllm-openai": {"/health"},
    "tritonserver": {"/v2/health/live", "/v2/health/ready"},
    "llama.cpp": {"/health"},
    "opentelemetry-collector": {"/"},
    "phoenix": {"/healthz", "/readyz"},
}
"""What each image of others answers to a probe, by a part of its name: docs/servers.md and their own documentation."""
OPERATORS_PODS = ("strimzi.io/", "headwater.dev/milvus", '"app.kubernetes.io/name": "milvus"')
"""Labels of pods that an operator makes: no object of ours bears them."""


def ports_of(pod: Pods) -> dict[str | int, int]:
    """A pod's ports by name and by number."""
    found: dict[str | int, int] = {}
    for _, container, _ in pod.containers():
        for port in container.get("ports", ()):
            number = port["containerPort"]
            found |= {number: number, port.get("name", number): number}
    return found


def selected(tree: str, selector: Mapping[str, object]) -> list[Pods]:
    return [pod for pod in pods(tree) if chosen(selector, pod.labels)]


def ours(selector: Mapping[str, object]) -> bool:
    """Whether a selector is about pods of this tree, and not about those that an operator makes."""
    said = json.dumps(selector)
    return bool(selector) and not any(mark in said for mark in OPERATORS_PODS)


@pytest.mark.parametrize("tree", COMBINATIONS)
def test_the_checks_have_something_to_look_at(tree: str) -> None:
    stages = {pod.labels.get("app.kubernetes.io/component") for pod in pods(tree)}
    assert stages >= {"chunk", "embed", "upsert", "retrieve", "rerank", "generate", "index"}


@pytest.mark.parametrize("tree", COMBINATIONS)
def test_a_deployment_selects_its_own_pods_and_no_others(tree: str) -> None:
    for each in of_kind(tree, "Deployment", "StatefulSet"):
        found = selected(tree, each["spec"]["selector"])
        assert [pod.owner for pod in found] == [name_of(each)]


@pytest.mark.parametrize("tree", COMBINATIONS)
def test_services_budgets_and_monitors_meet_pods_and_their_ports(tree: str) -> None:
    for service in of_kind(tree, "Service"):
        found = selected(tree, service["spec"]["selector"])
        assert found, f"{name_of(service)} meets no pod"
        for port, pod in itertools.product(service["spec"]["ports"], found):
            assert port.get("targetPort", port["port"]) in ports_of(pod), f"{name_of(service)}: {port} of {pod.owner}"
    for budget in of_kind(tree, "PodDisruptionBudget"):
        if ours(budget["spec"]["selector"]):
            assert selected(tree, budget["spec"]["selector"]), f"{name_of(budget)} meets no pod"
    services = list(of_kind(tree, "Service"))
    for monitor in of_kind(tree, "ServiceMonitor"):
        met = [each for each in services if chosen(monitor["spec"]["selector"], each["metadata"].get("labels", {}))]
        assert met, f"{name_of(monitor)} meets no Service"
        for endpoint, service in itertools.product(monitor["spec"]["endpoints"], met):
            for pod in selected(tree, service["spec"]["selector"]):
                assert endpoint["targetPort"] in ports_of(pod), f"{name_of(monitor)}: {endpoint} of {pod.owner}"


@pytest.mark.parametrize("tree", COMBINATIONS)
def test_probes_ask_ports_that_are_open_for_routes_that_exist(tree: str) -> None:
    for pod in pods(tree):
        for name, container, _ in pod.containers():
            own = {port.get("name") for port in container.get("ports", ())}
            own |= {port["containerPort"] for port in container.get("ports", ())}
            for kind in ("startupProbe", "readinessProbe", "livenessProbe"):
                probe = container.get(kind, {})
                asked = probe.get("httpGet") or probe.get("tcpSocket") or probe.get("grpc")
                if asked is None:
                    continue
                assert asked["port"] in own, f"{name}: {kind} asks {asked['port']!r}, open are {own}"
                if path := asked.get("path"):
                    assert answers(container["image"], path), f"{name}: {kind} asks {path} of {container['image']}"


def answers(image: str, path: str) -> bool:
    if image.startswith("headwater-"):
        said = Health(ready=lambda: True, hung=lambda: ()).answer(f"GET {path} HTTP/1.1\r\n\r\n".encode())
        return said.startswith(b"HTTP/1.1 200 ")
    return any(path in routes for part, routes in ROUTES.items() if part in image)


def environment(tree: str, container: Object) -> dict[str, str]:
    """A worker's settings as its container gets them."""
    found: dict[str, str] = {}
    for source in container.get("envFrom", ()):
        named = source["configMapRef"]["name"]
        [config] = [each for each in of_kind(tree, "ConfigMap") if each["metadata"]["name"] == named]
        found |= config["data"]
    for variable in container.get("env", ()):
        value = str(variable.get("value", "from-a-secret"))
        found[variable["name"]] = re.sub(r"\$\((\w+)\)", lambda match: found.get(match[1], "?"), value)
    return found


def workers(tree: str) -> Iterator[tuple[Pods, Object]]:
    for pod in pods(tree):
        for _, container, _ in pod.containers():
            if "headwater-" in container["image"]:
                yield pod, container


@pytest.mark.parametrize("tree", COMBINATIONS)
def test_every_variable_of_a_worker_is_a_setting_that_takes_it(tree: str, monkeypatch: pytest.MonkeyPatch) -> None:
    known = {f"HEADWATER_{name.upper()}" for name in Settings.model_fields}
    for pod, container in workers(tree):
        given = {name: value for name, value in environment(tree, container).items() if name.startswith("HEADWATER_")}
        strange = {name for name in given if name.split("__")[0] not in known}
        assert not strange, f"{pod.owner}: {strange}"
        with monkeypatch.context() as own:
            for name, value in given.items():
                own.setenv(name, value)
            settings = Settings()
        if "worker" in container.get("args", ()):
            assert container["args"][-2:] == ["--stages", pod.labels["app.kubernetes.io/component"]], pod.owner
            assert given_user(tree, container) == f"headwater-{container['args'][-1]}", pod.owner
            ports = {port["name"]: port["containerPort"] for port in container["ports"]}
            assert ports["health"] == settings.health_port, pod.owner
            assert pod.spec["terminationGracePeriodSeconds"] > settings.grace_s, pod.owner


def given_user(tree: str, container: Object) -> str:
    """Who a container is to Kafka, by name and by password."""
    [secret] = [
        each["valueFrom"]["secretKeyRef"]["name"] for each in container["env"] if each["name"] == "KAFKA_PASSWORD"
    ]
    user = environment(tree, container)["KAFKA_USER"]
    assert user == secret
    assert user in {each["metadata"]["name"] for each in of_kind(tree, "KafkaUser")}
    return user


@pytest.mark.parametrize("tree", COMBINATIONS)
def test_every_address_in_the_settings_is_a_service_of_the_tree(tree: str) -> None:
    services = {each["metadata"]["name"]: each["spec"]["ports"] for each in of_kind(tree, "Service")}
    made = {f"{each['metadata']['name']}-milvus": [19530] for each in of_kind(tree, "Milvus")}
    for each in of_kind(tree, "Kafka"):
        made[f"{each['metadata']['name']}-kafka-bootstrap"] = [
            one["port"] for one in each["spec"]["kafka"]["listeners"]
        ]
    for pod, container in workers(tree):
        given = environment(tree, container)
        urls = [value for name, value in given.items() if re.match(r"HEADWATER_\w+$", name) and "://" in value]
        for url in (*urls, f"kafka://{given.get('HEADWATER_KAFKA', '')}"):
            target = urlsplit(url)
            if not target.hostname or target.scheme in {"s3", "file", "embedded", "https"} or "." in target.hostname:
                continue  # elsewhere, and so no Service of this tree
            ports = made.get(target.hostname) or [port["port"] for port in services.get(target.hostname, ())]
            assert target.port in ports, f"{pod.owner}: {url}, which is no Service of the tree"


@pytest.mark.parametrize("tree", COMBINATIONS)
def test_autoscalers_follow_groups_topics_and_users_that_exist(tree: str) -> None:
    deployments = {each["metadata"]["name"]: each for each in of_kind(tree, "Deployment")}
    partitions = {topic.name: topic.partitions for topic in TOPICS}
    # Each stage's own user asks for its group, which bears the same name.
    users = {each["metadata"]["name"] for each in of_kind(tree, "KafkaUser")}
    named = {
        key: name for each in of_kind(tree, "ConfigMap") for key, name in each.get("data", {}).items() if name in users
    }
    asking = {}
    for each in of_kind(tree, "TriggerAuthentication"):
        given = {ref["parameter"]: ref for refs in each["spec"].values() for ref in refs}
        if "username" in given:
            asking[each["metadata"]["name"]] = given["password"]["name"]
            assert named[given["username"]["key"]] == given["password"]["name"], name_of(each)
    for scaler in of_kind(tree, "ScaledObject"):
        assert scaler["spec"]["scaleTargetRef"]["name"] in deployments, name_of(scaler)
        for trigger in scaler["spec"]["triggers"]:
            about = trigger["metadata"]
            if trigger["type"] in {"kafka", "apache-kafka"}:
                assert about["topic"] in partitions, name_of(scaler)
                assert about["consumerGroup"] == asking[trigger["authenticationRef"]["name"]], name_of(scaler)
                assert scaler["spec"]["maxReplicaCount"] <= partitions[about["topic"]], name_of(scaler)
    for each in deployments.values():
        if any(each["metadata"]["name"] == s["spec"]["scaleTargetRef"]["name"] for s in of_kind(tree, "ScaledObject")):
            assert "replicas" not in each["spec"], f"{name_of(each)}: two would decide how many"


@pytest.mark.parametrize("tree", COMBINATIONS)
def test_secrets_and_configurations_that_pods_read_are_made_by_somebody(tree: str) -> None:
    made = {each["metadata"]["name"] for each in of_kind(tree, "ConfigMap", "KafkaUser")}
    made |= {each["spec"].get("target", {}).get("name", "") for each in of_kind(tree, "ExternalSecret")}
    made |= {each["spec"]["secretName"] for each in of_kind(tree, "Certificate")}
    for kafka in of_kind(tree, "Kafka"):
        made |= {f"{kafka['metadata']['name']}-{of}-ca-cert" for of in ("cluster", "clients")}
    for pod in pods(tree):
        for wanted in _wanted(pod):
            assert wanted in made, f"{pod.owner} reads {wanted!r}, which nothing makes"


def _wanted(pod: Pods) -> Iterator[str]:
    for volume in pod.spec.get("volumes", ()):
        for source in (volume, *volume.get("projected", {}).get("sources", ())):
            if "secret" in source:
                yield source["secret"].get("secretName") or source["secret"]["name"]
            if "configMap" in source:
                yield source["configMap"]["name"]
    for _, container, _ in pod.containers():
        for source in container.get("envFrom", ()):
            yield from (each["name"] for each in source.values() if isinstance(each, dict))
        for variable in container.get("env", ()):
            for each in variable.get("valueFrom", {}).values():
                if "name" in each:
                    yield each["name"]


@pytest.mark.parametrize("tree", COMBINATIONS)
def test_no_user_and_no_role_may_do_anything_to_everything(tree: str) -> None:
    for user in of_kind(tree, "KafkaUser"):
        for rule in user["spec"]["authorization"]["acls"]:
            assert rule["resource"].get("name") != "*", name_of(user)
            assert "All" not in rule["operations"], name_of(user)
    for role in of_kind(tree, "Role", "ClusterRole"):
        for rule in role["rules"]:
            assert "*" not in (*rule["verbs"], *rule["resources"]), name_of(role)


@pytest.mark.parametrize("tree", COMBINATIONS)
def test_every_pod_s_service_account_and_claim_is_in_the_tree(tree: str) -> None:
    accounts = {each["metadata"]["name"] for each in of_kind(tree, "ServiceAccount")}
    claims = {each["metadata"]["name"] for each in of_kind(tree, "PersistentVolumeClaim")}
    for pod in pods(tree):
        assert pod.spec["serviceAccountName"] in accounts, pod.owner
        for volume in pod.spec.get("volumes", ()):
            if "persistentVolumeClaim" in volume:
                assert volume["persistentVolumeClaim"]["claimName"] in claims, pod.owner
