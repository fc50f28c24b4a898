"""docker-compose.yml and the Dockerfile keep their rules: no engine runs in these tests, only what can be read."""

import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from processors.ports import Port
from streams.cli import COMMANDS
from streams.composition import Backends
from streams.local.jars import COORDINATES
from streams.pipelines import ingest, query
from streams.settings import LocalStack, Settings

CHECKOUT = Path(__file__).parent.parent
COMPOSE = CHECKOUT / ".headwater" / "servers" / "compose" / "bin" / "docker-compose"
VARIABLE = re.compile(r"\$\{(\w+)(?::\?[^}]*)?\}")
SECRET = re.compile(r"PASSWORD|SECRET|TOKEN|KEY$|KEY_ID")
PROBELESS = {"collector", "phoenix"}
"""Images without a shell; nothing waits for them."""
ONE_SHOT = {"topics", "index"}

if not (CHECKOUT / "Dockerfile").exists():
    pytest.skip("these tests run against a wheel", allow_module_level=True)


def example() -> dict[str, str]:
    """The variables of `.env.example`, as Compose reads them."""
    lines = (CHECKOUT / ".env.example").read_text().splitlines()
    pairs = (line.partition("=") for line in lines if line and not line.startswith("#"))
    return {name: value for name, _, value in pairs}


def services() -> dict[str, dict[str, Any]]:
    loaded: dict[str, dict[str, Any]] = yaml.safe_load((CHECKOUT / "docker-compose.yml").read_text())["services"]
    return loaded


SERVICES = services()
OURS = {name: service for name, service in SERVICES.items() if "build" in service}
THEIRS = {name: service for name, service in SERVICES.items() if "build" not in service}


def filled(text: str) -> str:
    """`text` with the variables of `.env.example` in their places."""
    values = example() | {"OBJECTS": "/srv/objects"}
    return VARIABLE.sub(lambda match: values[match[1]], text)


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_is_confined(name: str) -> None:
    service = SERVICES[name]
    assert re.fullmatch(r"\d+[mg]", service["mem_limit"])
    assert service["pids_limit"] > 0
    assert service["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in service["security_opt"]
    assert service["logging"]["options"]["max-size"]
    assert service["restart"] == ("no" if name in ONE_SHOT else "unless-stopped")
    assert not {"privileged", "cap_add", "network_mode", "pid", "ipc"} & service.keys()


@pytest.mark.parametrize("name", OURS)
def test_our_services_write_to_volumes_alone(name: str) -> None:
    service = OURS[name]
    assert service["read_only"] is True
    assert service["tmpfs"]
    assert service["init"] is True
    assert "workers:/var/lib/headwater" in service["volumes"]


@pytest.mark.parametrize("name", SERVICES)
def test_what_a_service_waits_for_is_well_or_done(name: str) -> None:
    for other, how in SERVICES[name].get("depends_on", {}).items():
        if other in ONE_SHOT:
            assert how["condition"] == "service_completed_successfully"
        else:
            assert how["condition"] == "service_healthy"
            assert SERVICES[other]["healthcheck"]["test"]
        assert how.get("required", True) is ("profiles" not in SERVICES[other])


@pytest.mark.parametrize("name", THEIRS)
def test_every_server_is_probed_and_its_image_is_pinned_in_the_example(name: str) -> None:
    service = THEIRS[name]
    assert ("healthcheck" in service) is (name not in PROBELESS)
    image = re.fullmatch(r"\$\{(\w+_IMAGE):\?[^}]+\}", service["image"])
    assert image
    tag = example()[image[1]].rpartition(":")[2]
    assert re.search(r"\d", tag)
    assert tag != "latest"


@pytest.mark.parametrize("name", [name for name in SERVICES if name.startswith("tei-")])
def test_tei_is_probed_slowly_one_probe_at_a_time(name: str) -> None:
    probe = SERVICES[name]["healthcheck"]
    assert probe["interval"] == "30s"
    assert probe["timeout"] == "25s"
    assert sum("/health" in part for part in probe["test"]) == 1


def test_ports_are_published_on_loopback_alone() -> None:
    published = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert published
    assert all(port.startswith("127.0.0.1:") for port in published)


def test_no_secret_is_written_down() -> None:
    for name, service in SERVICES.items():
        for variable, value in service.get("environment", {}).items():
            if SECRET.search(variable):
                assert VARIABLE.fullmatch(str(value)), f"{name}: {variable}"
    assert all(not value for variable, value in example().items() if SECRET.search(variable))


def test_the_example_names_every_variable_and_no_other() -> None:
    text = (CHECKOUT / "docker-compose.yml").read_text()
    assert set(VARIABLE.findall(text)) | {"COMPOSE_PROFILES", "COMPOSE_PROJECT_NAME"} == set(example())


def test_the_ports_are_those_of_the_local_stack_so_that_commands_need_no_settings() -> None:
    local = LocalStack()
    assert (int(example()["KAFKA_PORT"]), int(example()["MILVUS_PORT"])) == (local.kafka_port, local.milvus_port)


def test_the_broker_is_of_the_version_that_the_tests_run() -> None:
    assert f"org.apache.kafka:kafka_2.13:{example()['KAFKA_IMAGE'].rpartition(':')[2]}" in COORDINATES


def test_every_stage_has_one_worker_and_chunk_alone_parses() -> None:
    ports = Backends(Settings())
    stages = [stage.name for pipeline in (ingest, query) for stage in pipeline(ports, Settings()).stages]
    hosted = {name: service["command"][2] for name, service in OURS.items() if service["command"][0] == "worker"}
    assert hosted == {stage: stage for stage in stages}
    targets = {name: (service["build"]["target"], service["image"]) for name, service in OURS.items()}
    assert targets == {
        name: ("parse", "headwater-parse") if name == "chunk" else ("worker", "headwater-worker") for name in OURS
    }


@pytest.mark.parametrize("name", sorted(ONE_SHOT))
def test_what_prepares_the_system_is_a_command_of_ours(name: str) -> None:
    word, further = OURS[name]["command"]
    group = COMMANDS[word]
    assert isinstance(group, Mapping)
    assert further in group


@pytest.fixture
def settings(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Settings]:
    """What a service reads from its environment, with GENERATOR as one of the documented profiles has it."""
    name, generator = request.param
    monkeypatch.chdir(tmp_path)
    for variable, value in OURS[name]["environment"].items():
        text = generator if variable == "HEADWATER_GENERATOR" else filled(value)
        assert variable.removeprefix("HEADWATER_").lower() in Settings.model_fields
        monkeypatch.setenv(variable, text)
    yield Settings()
    assert all(variable in os.environ for variable in OURS[name]["environment"])


GENERATORS = (
    "openai+http://llama:8080/v1?model=local",
    "openai+http://vllm:8000/v1?model=local",
    "triton+grpc://triton:8001/answers",
)


@pytest.mark.parametrize(
    "settings", [(name, generator) for name in OURS for generator in GENERATORS], indirect=True, ids=str
)
def test_the_settings_of_a_service_name_backends_that_exist(settings: Settings) -> None:
    backends = Backends(settings)
    named = (backends.embedder, backends.reranker, backends.index, backends.objects, backends.generators["generative"])
    assert all(isinstance(each, Port) for each in named)
    assert settings.kafka_url == "kafka:9092"


def test_addresses_in_settings_are_services_and_the_ports_they_listen_on() -> None:
    names = set(SERVICES) | {alias for each in SERVICES.values() for alias in _aliases(each)}
    for value in (*OURS["embed"]["environment"].values(), *GENERATORS):
        if "://" in value and not value.startswith("file:"):
            host = re.split(r"[:/]", filled(value).partition("://")[2])[0]
            assert host in names, value


def test_the_images_run_as_nobody_and_one_role_alone_parses() -> None:
    text = (CHECKOUT / "Dockerfile").read_text()
    stages = {part.split()[2]: part for part in re.split(r"(?m)^FROM ", text)[1:]}
    assert "USER 10001:10001" in stages["runtime"]
    assert stages["parse"].startswith("runtime AS parse")
    assert stages["worker"].startswith("runtime AS worker")
    assert stages["local"].startswith("runtime AS local")
    assert "USER root" not in text
    locks = {role: (CHECKOUT / f"requirements/image-{role}.lock").read_text() for role in ("parse", "worker")}
    assert "\nunstructured==" in locks["parse"]
    assert "\nunstructured==" not in locks["worker"]
    assert "\ntritonclient==" in locks["worker"]


def test_the_images_get_the_versions_that_are_tested() -> None:
    tested = set(_pins("dev"))
    assert {pin for image in ("parse", "worker", "local") for pin in _pins(f"image-{image}")} <= tested


def test_the_build_sees_only_what_it_copies() -> None:
    ignored = (CHECKOUT / ".dockerignore").read_text().splitlines()
    admitted = {line[1:] for line in ignored if line.startswith("!")}
    copied = re.findall(r"(?m)^COPY (?!--from)(.+) \S+$", (CHECKOUT / "Dockerfile").read_text())
    assert "*" in ignored
    assert {name.partition("/")[0] for names in copied for name in names.split()} == admitted


@pytest.mark.servers
@pytest.mark.parametrize("profiles", ["cpu", "gpu,vllm", "gpu,triton"])
def test_compose_itself_accepts_the_file(profiles: str, tmp_path: Path) -> None:
    if not COMPOSE.is_file():
        pytest.skip("the real Compose is not installed: `make servers` brings it, without an engine")
    environment = {**os.environ, **example(), "MINIO_PASSWORD": "test", "COMPOSE_PROFILES": profiles}
    environment["OBJECTS"] = str(tmp_path)
    done = subprocess.run(
        [COMPOSE, "-f", "docker-compose.yml", "config", "--quiet"],
        cwd=CHECKOUT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def _aliases(service: Mapping[str, Any]) -> list[str]:
    networks = service.get("networks", {})
    return [alias for network in networks.values() for alias in network["aliases"]]


def _pins(lock: str) -> list[str]:
    text = (CHECKOUT / f"requirements/{lock}.lock").read_text()
    return re.findall(r"(?m)^[a-z0-9][a-z0-9._-]*==[^ ;]+", text)
