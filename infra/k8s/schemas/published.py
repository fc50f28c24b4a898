"""The schemas as their makers publish them, in the versions that go.mod and strimzi.sha256 pin."""

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import yaml

from infra.k8s.schemas.core import add_core
from infra.k8s.schemas.schema import Published
from streams.local.jars import class_path, fetch
from streams.local.java import find_java

HERE = Path(__file__).parent
JARS = HERE.parents[2] / ".headwater" / "jars"
STRIMZI = HERE / "strimzi.sha256"
STRIMZI_KINDS = ("kafka.Kafka", "nodepool.KafkaNodePool", "topic.KafkaTopic", "user.KafkaUser")
CORE = "k8s.io/kubernetes"
OPERATORS = {
    "github.com/cert-manager/cert-manager": "deploy/crds/crd-*.yaml",
    "github.com/external-secrets/external-secrets": "config/crds/bases/external-secrets.io_*.yaml",
    "github.com/kedacore/keda/v2": "config/crd/bases/keda.sh_*.yaml",
    "github.com/prometheus-operator/prometheus-operator": "example/prometheus-operator-crd/*.yaml",
    "github.com/zilliztech/milvus-operator": "config/crd/bases/milvus.io_milvuses.yaml",
}
"""Where in its module each operator keeps its custom resources' definitions."""


class Unavailable(Exception):
    """The schemas cannot be had; the message says why, and the remedy."""


def published() -> Published:
    """All schemas; what is neither in Go's module cache nor among the jars is downloaded."""
    found = Published()
    folders = _modules()
    add_core(found, folders[CORE])
    for module, pattern in OPERATORS.items():
        if not (files := sorted(folders[module].glob(pattern))):
            raise Unavailable(f"{module} has no {pattern!r}: look where its version in go.mod keeps its definitions")
        _add_custom(found, files)
    with _strimzi() as written:
        _add_custom(found, written)
    return found


def _modules() -> dict[str, Path]:
    """The folder of each module of go.mod."""
    program = shutil.which("go")
    if program is None:
        raise Unavailable("no go on the PATH: install 1.25.11 or newer")
    said = _run(program, "mod", "download", "-json")
    sums = (HERE / "go.sum").read_text().splitlines()
    folders = {}
    while said:
        module, end = json.JSONDecoder().raw_decode(said)
        said = said[end:].lstrip()
        # go compares with the lines that go.sum has; one that it lacks is nothing to it.
        if (line := f"{module['Path']} {module['Version']} {module['Sum']}") not in sums:
            raise Unavailable(f"go.sum lacks {line!r}: add it once you know that this is what was published")
        folders[module["Path"]] = Path(module["Dir"])
    return folders


@contextmanager
def _strimzi() -> Iterator[Sequence[Path]]:
    """Strimzi's definitions, as its own generator writes them."""
    fetch(JARS, lambda done, total: None, STRIMZI)
    generator = (str(find_java()), "-cp", class_path(JARS, STRIMZI), "io.strimzi.crdgenerator.CrdGenerator")
    version = ("--crd-api-version", "v1", "--api-versions", "v1beta2", "--storage-version", "v1beta2")
    with tempfile.TemporaryDirectory() as folder:
        files = {f"io.strimzi.api.kafka.model.{kind}": Path(folder, f"{kind}.yaml") for kind in STRIMZI_KINDS}
        outputs = (f"{name}={file}" for name, file in files.items())
        _run(*generator, "--target-kube", "1.32", *version, "--yaml", *outputs)
        yield list(files.values())


def _run(*command: str) -> str:
    done = subprocess.run(  # noqa: S603
        command,
        cwd=HERE,
        env=os.environ | {"GOFLAGS": "-mod=readonly"},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    if done.returncode:
        raise Unavailable(f"{' '.join(command)}: {done.stdout}{done.stderr}")
    return done.stdout


class _Loader(yaml.CSafeLoader):
    """In C, because there are 6 MB of definitions; a lone `=` is a string, as it is to Kubernetes."""


_Loader.add_constructor("tag:yaml.org,2002:value", lambda _, node: str(node.value))


def _add_custom(to: Published, definitions: Sequence[Path]) -> None:
    for file in definitions:
        with file.open("rb") as text:
            spec = yaml.load(text, _Loader)["spec"]  # noqa: S506 - it is a safe one
        group, kind = spec["group"], spec["names"]["kind"]
        for version in spec["versions"]:
            if not version["served"]:
                continue
            schema = version["schema"]["openAPIV3Schema"]
            # A definition leaves out what the API server knows of every object.
            schema["properties"]["metadata"] = {
                "$ref": "#/components/schemas/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
            }
            name = f"{group}.{version['name']}.{kind}"
            to.schemas[name] = schema
            to.names[f"{group}/{version['name']}", kind] = name
