"""What Terraform hands to the overlays is what the overlays read."""

import re
from pathlib import Path

import hcl2
import pytest
import yaml

INFRA = Path(__file__).parents[2] / "infra"
PROD = INFRA / "k8s" / "overlays" / "prod"
MODULES = INFRA / "terraform" / "modules"

if not INFRA.exists():
    pytest.skip("an installed wheel has no infrastructure", allow_module_level=True)


def roles() -> set[str]:
    """The names of the table of roles."""
    (values,) = hcl2.loads((MODULES / "identity" / "roles.tf").read_text())["locals"]
    return {str(name).strip('"') for name in values["roles"] if not str(name).startswith("__")}


def purposes() -> list[str]:
    """What buckets are for."""
    (listed,) = re.findall(r"for purpose in \[(.+?)\]", (MODULES / "object_store" / "main.tf").read_text())
    return re.findall(r'"(\w+)"', listed)


def handed() -> set[str]:
    """The names in the output `settings_env`."""
    single = re.findall(r"^ {6}([A-Z_]+)\s*=", (MODULES / "platform" / "outputs.tf").read_text(), re.MULTILINE)
    return {*single, *(f"BUCKET_{each.upper()}" for each in purposes()), *(f"ROLE_{each.upper()}" for each in roles())}


def example() -> dict[str, str]:
    lines = [line for line in (PROD / "settings.env").read_text().splitlines() if line and not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines)


def test_the_example_has_the_lines_that_terraform_writes() -> None:
    assert set(example()) == handed()


def test_what_the_overlay_reads_is_handed_to_it() -> None:
    read = {
        each["source"]["fieldPath"].removeprefix("data.")
        for each in yaml.safe_load((PROD / "kustomization.yaml").read_text())["replacements"]
        if each["source"]["name"] == "environment"
    }
    assert read
    assert read <= handed()
