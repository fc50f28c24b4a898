"""What Terraform hands to the overlays is what the overlays read."""

import re

import pytest
import yaml

from tests.infra.hcl import TERRAFORM, parsed
from tests.infra.manifests import ROOT, of_kind

OVERLAYS = ("prod", "dev-aws")
MODULES = TERRAFORM / "modules"


def roles() -> set[str]:
    """The names of the table of roles."""
    [values] = parsed("modules/identity/roles.tf")["locals"]
    return set(values["roles"])


def purposes() -> list[str]:
    """What buckets are for."""
    (listed,) = re.findall(r"for purpose in \[(.+?)\]", (MODULES / "object_store" / "main.tf").read_text())
    return re.findall(r'"(\w+)"', listed)


def handed() -> set[str]:
    """The names in the output `settings_env`."""
    single = re.findall(r"^ {6}([A-Z_]+)\s*=", (MODULES / "platform" / "outputs.tf").read_text(), re.MULTILINE)
    return {*single, *(f"BUCKET_{each.upper()}" for each in purposes()), *(f"ROLE_{each.upper()}" for each in roles())}


def example(overlay: str) -> dict[str, str]:
    text = (ROOT / "overlays" / overlay / "settings.env").read_text()
    return dict(line.split("=", 1) for line in text.splitlines() if line and not line.startswith("#"))


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_example_has_the_lines_that_terraform_writes(overlay: str) -> None:
    assert set(example(overlay)) == handed()


def test_what_the_overlays_read_is_handed_to_them() -> None:
    read = {
        each["source"]["fieldPath"].removeprefix("data.")
        for each in yaml.safe_load((ROOT / "components" / "aws" / "kustomization.yaml").read_text())["replacements"]
        if each["source"]["name"] == "environment"
    }
    assert read
    assert read <= handed()


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_nothing_of_the_base_s_own_names_is_left_in_an_overlay(overlay: str) -> None:
    """Buckets and roles that the base only gives examples of."""
    known = example(overlay)
    [backup] = [each for each in of_kind(f"overlays/{overlay}", "ConfigMap") if "PLACE" in each.get("data", {})]
    assert backup["data"]["PLACE"] == f"s3://{known['BUCKET_BACKUPS']}/documents"
    roles_of = {
        each["metadata"]["name"]: each["metadata"].get("annotations", {}).get("eks.amazonaws.com/role-arn")
        for each in of_kind(f"overlays/{overlay}", "ServiceAccount")
    }
    accounts = dict(
        re.findall(r'(\w+) = \{\s+account = "headwater:([\w-]+)"', (MODULES / "identity" / "roles.tf").read_text())
    )
    bound = {account: known[f"ROLE_{role.upper()}"] for role, account in accounts.items() if account in roles_of}
    assert {"chunk", "client", "model-server", "milvus", "backup", "forget", "restore"} == set(bound)
    assert {name: role for name, role in roles_of.items() if role} == bound


def test_the_bucket_of_backups_expires_nothing_where_documents_are_saved() -> None:
    text = (MODULES / "object_store" / "lifecycle.tf").read_text()
    [prefix] = re.findall(r'backups = \{ days = var.backups_days, prefix = "([^"]+)" \}', text)
    for overlay in OVERLAYS:
        [place] = [
            each["data"]["PLACE"]
            for each in of_kind(f"overlays/{overlay}", "ConfigMap")
            if "PLACE" in each.get("data", {})
        ]
        below = place.split("/", 3)[3] + "/"
        assert not below.startswith(prefix)
        assert not prefix.startswith(below)
        assert f"/{below}*" in (MODULES / "identity" / "roles.tf").read_text()
