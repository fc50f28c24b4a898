"""What infra/k8s renders holds no field that the types of the named versions do not know, custom resources included."""

import copy
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.infra.manifests import COMBINATIONS, ROOT, Object, of_kind, rendered

pytestmark = [pytest.mark.infra, pytest.mark.timeout(900)]
UNTYPED = "NOT CHECKED, no Go types: kafka.strimzi.io/"


@pytest.fixture(scope="module")
def checker(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program of infra/k8s/schemas, built once."""
    go = shutil.which("go")
    if go is None:
        pytest.skip("no go on the PATH: fields of infra/k8s are not checked; install 1.25.11 or newer")
    program = tmp_path_factory.mktemp("schemas") / "schemas"
    done = subprocess.run(
        [go, "build", "-o", str(program), "."],
        cwd=ROOT / "schemas",
        env=os.environ | {"GOFLAGS": "-mod=readonly"},
        capture_output=True,
        text=True,
        check=False,
        timeout=880,
    )
    assert not done.returncode, done.stderr
    return program


def check(checker: Path, *objects: Object) -> subprocess.CompletedProcess[str]:
    said = yaml.safe_dump_all(objects)
    return subprocess.run([str(checker)], input=said, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.parametrize("tree", COMBINATIONS)
def test_every_field_is_one_that_its_type_knows(tree: str, checker: Path) -> None:
    objects = rendered(tree)
    done = check(checker, *objects)
    assert not done.returncode, done.stderr
    assert sum(int(line.rsplit(": ", 1)[1]) for line in done.stdout.splitlines()) == len(objects)


def test_only_kinds_without_types_go_unchecked(checker: Path) -> None:
    lines = check(checker, *rendered("overlays/prod")).stdout.splitlines()
    unchecked = [line for line in lines if not line.startswith("checked ")]
    assert all(line.startswith(UNTYPED) for line in unchecked), unchecked
    if unchecked:
        pytest.skip("; ".join(unchecked))  # so that every run says it


@pytest.mark.parametrize(
    ("kind", "path", "value", "fault"),
    [
        ("Deployment", ("spec", "replica"), 2, 'unknown field "spec.replica"'),
        ("Deployment", ("spec", "minreadyseconds"), 2, 'unknown field "spec.minreadyseconds"'),
        ("Deployment", ("spec", "replicas"), "two", "spec.replicas of type int32"),
        ("ScaledObject", ("spec", "scaleTargetRef", "nam"), "x", 'unknown field "spec.scaleTargetRef.nam"'),
        ("Certificate", ("spec", "dnsName"), ["x"], 'unknown field "spec.dnsName"'),
        ("ExternalSecret", ("spec", "target", "creationpolicy"), "x", 'unknown field "spec.target.creationpolicy"'),
        ("ServiceMonitor", ("spec", "endpoint"), [], 'unknown field "spec.endpoint"'),
        ("Milvus", ("spec", "mode"), 1, "spec.mode of type"),
        ("Milvus", ("spec", "component"), {}, 'unknown field "spec.component"'),
    ],
)
def test_a_wrong_field_is_named_with_its_object(
    kind: str, path: tuple[str, ...], value: object, fault: str, checker: Path
) -> None:
    wrong: Any = copy.deepcopy(next(of_kind("overlays/prod", kind)))
    within = wrong
    for name in path[:-1]:
        within = within[name]
    within[path[-1]] = value
    done = check(checker, wrong)
    assert done.returncode == 1
    assert f"{kind} {wrong['metadata']['name']}: " in done.stderr
    assert fault in done.stderr


def test_a_kind_that_nothing_knows_is_an_error(checker: Path) -> None:
    done = check(checker, {"apiVersion": "example.org/v1", "kind": "Rocket", "metadata": {"name": "x"}})
    assert done.returncode == 1
    assert 'Rocket x: no kind "Rocket" is registered' in done.stderr
