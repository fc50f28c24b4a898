"""Every Terraform module and env is formatted, valid, and passes its own tests with mocked providers."""

import re
import shutil
from pathlib import Path

import pytest

from infra.terraform import offline

pytestmark = [pytest.mark.infra, pytest.mark.timeout(600)]
FOLDERS = sorted(str(path.parent.relative_to(offline.HERE)) for path in offline.HERE.glob("*/*/main.tf"))
PROVIDERS_ELSEWHERE = {"modules/gke_gpu_pool", "modules/aks_gpu_pool"}
"""Of clouds whose provider no folder here has: tests/infra/test_gpu_pools.py reads them as HCL."""


def needs_terraform() -> None:
    if shutil.which("terraform") is None:
        pytest.skip("no terraform on the PATH: its modules are not checked; install 1.11 or newer")


def test_the_files_are_formatted() -> None:
    needs_terraform()
    offline.run(offline.HERE, "fmt", "-check", "-recursive", "-diff")


@pytest.mark.parametrize("folder", [folder for folder in FOLDERS if folder not in PROVIDERS_ELSEWHERE])
def test_it_is_valid_and_its_own_tests_pass(folder: str) -> None:
    needs_terraform()
    with offline.copied() as copy:
        try:
            offline.init(copy / folder)
        except offline.Unavailable as missing:
            pytest.skip(str(missing))
        offline.run(copy / folder, "validate", "-no-color")
        said = offline.run(copy / folder, "test", "-no-color")
    [(passed, failed)] = re.findall(r"(\d+) passed, (\d+) failed", said)
    assert int(passed) > 0, said
    assert int(failed) == 0, said


@pytest.mark.parametrize("path", sorted(offline.HERE.rglob("*.tf")), ids=lambda path: "/".join(path.parts[-3:]))
def test_variables_and_outputs_say_what_they_are_and_nothing_runs_where_terraform_does(path: Path) -> None:
    text = path.read_text()
    for kind, said in (("variable", {"type", "description"}), ("output", {"description"})):
        for name, body in re.findall(rf'^{kind} "(\w+)" {{\n(.*?)^}}$', text, re.MULTILINE | re.DOTALL):
            fields = dict(re.findall(r"^  (\w+)\s*= (.*)$", body, re.MULTILINE))
            assert fields.keys() >= said, name
            assert fields["description"].endswith('."'), name
    assert "local-exec" not in text
