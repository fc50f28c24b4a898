"""What checkov finds in infra/ and in the images is mended, or stands in infra/policies.yaml with its reason."""

import copy
import itertools
import json
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import TypeAdapter

from infra.terraform import offline
from tests.infra.findings import CHECKOUT, Finding, Scan, committed, scan
from tests.infra.manifests import COMBINATIONS, Object, rendered

pytestmark = [pytest.mark.infra, pytest.mark.timeout(600)]
FILES = ("terraform", "dockerfile", "secrets")
BUCKETS = "module.platform.module.object_store"


@dataclass(frozen=True, slots=True)
class Accepted:
    finds: str
    where: list[str]
    why: str


LISTED = TypeAdapter(dict[str, Accepted]).validate_python(
    yaml.safe_load((CHECKOUT / "infra" / "policies.yaml").read_text())
)


def meets(finding: Finding, pattern: str) -> bool:
    return finding.where == pattern or fnmatchcase(finding.where, pattern)


def unaccepted(found: Scan) -> list[Finding]:
    return sorted(
        each
        for each in found.failed
        if each.check not in LISTED or not any(meets(each, pattern) for pattern in LISTED[each.check].where)
    )


def write(objects: Iterable[Object], into: Path) -> Path:
    """Each object once; JSON is YAML that is quickly written."""
    into.joinpath("rendered.yaml").write_text("\n---\n".join({json.dumps(each): None for each in objects}))
    return into


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Scan:
    """In all files of the project, and in what infra/k8s renders to."""
    files = scan(committed(tmp_path_factory.mktemp("files")), *FILES)
    manifests = write(itertools.chain.from_iterable(map(rendered, COMBINATIONS)), tmp_path_factory.mktemp("rendered"))
    return files | scan(manifests, "kubernetes")


def test_every_finding_is_mended_or_accepted(found: Scan) -> None:
    new = unaccepted(found)
    assert not new, "mend these, or list them in infra/policies.yaml and say why they stay"


def test_nothing_is_accepted_that_is_not_found(found: Scan) -> None:
    stale = {
        (check, pattern)
        for check, accepted in LISTED.items()
        for pattern in accepted.where
        if not any(
            each.check == check and each.says == accepted.finds and meets(each, pattern) for each in found.failed
        )
    }
    assert not stale, "take these out of infra/policies.yaml"


def test_every_accepted_finding_has_its_reason() -> None:
    assert all(accepted.why.endswith(".") and len(accepted.why.split()) > 5 for accepted in LISTED.values())


def test_the_scan_has_looked_at_every_kind_of_thing(found: Scan) -> None:
    places = {each.where for each in found.passed}
    assert places >= {
        "Dockerfile",
        "Deployment.headwater.vllm",
        "Deployment.headwater.triton",
        f"{BUCKETS}.aws_s3_bucket.this",
        'module.platform.module.gpu_pool["generate"].module.nodes.aws_launch_template.this',
        "google_container_node_pool.this",
    }


def test_a_privileged_container_is_found(tmp_path: Path) -> None:
    objects: list[Any] = copy.deepcopy(list(rendered("overlays/prod")))
    [server] = [each for each in objects if (each["kind"], each["metadata"]["name"]) == ("Deployment", "vllm")]
    server["spec"]["template"]["spec"]["containers"][0]["securityContext"]["privileged"] = True
    new = unaccepted(scan(write(objects, tmp_path), "kubernetes"))
    assert ("CKV_K8S_16", "Deployment.headwater.vllm") in {(each.check, each.where) for each in new}


def test_open_buckets_an_open_api_a_root_user_and_a_key_are_found(tmp_path: Path) -> None:
    terraform = tmp_path / "infra" / "terraform"
    shutil.copytree(CHECKOUT / "infra" / "terraform", terraform, ignore=shutil.ignore_patterns(".terraform*"))
    shutil.copy(CHECKOUT / "Dockerfile", tmp_path)
    change(terraform / "modules/object_store/main.tf", "block_public_acls       = true", "block_public_acls = false")
    # In one env alone: the other, which is planned by the same modules, does not hide it.
    change(terraform / "envs/dev/main.tf", "= var.api_networks", '= ["0.0.0.0/0"]')
    change(tmp_path / "Dockerfile", "USER 10001:10001", "USER root")
    (tmp_path / "docker-compose.yml").write_text("environment:\n  MILVUS_KEY: AKIA" + "Z7QX3L5W2NVJ4RTK\n")
    new = {(each.check, each.where) for each in unaccepted(scan(tmp_path, *FILES))}
    assert new >= {
        ("CKV_AWS_53", f"{BUCKETS}.aws_s3_bucket_public_access_block.this"),
        ("CKV_AWS_38", "module.platform.module.cluster.aws_eks_cluster.this"),
        ("CKV_DOCKER_8", "Dockerfile"),
        ("CKV_SECRET_2", "docker-compose.yml"),
    }


def test_what_roles_may_do_is_narrow_and_a_wide_one_is_found(tmp_path: Path) -> None:
    """Their policies are made from a table, which only a plan shows whole."""
    try:
        plan: Any = offline.plan("modules/identity")
    except offline.Unavailable as missing:
        pytest.skip(f"what roles may do is not checked: {missing}")
    # By addresses of their own: of a resource's instances checkov reads the first one's policy for all.
    resources = {
        f"{each['type']}.{each['index']}": each | {"name": each["index"], "values": each["change"]["after"]}
        for each in plan["resource_changes"]
    }
    wide = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": ["s3:PutObject"], "Resource": ["*"]}]}
    opened = resources["aws_iam_role_policy.chunk"] | {"name": "opened", "values": {"policy": json.dumps(wide)}}
    resources["aws_iam_role_policy.opened"] = opened
    shown = [each | {"address": address} for address, each in resources.items()]
    (tmp_path / "plan.json").write_text(
        json.dumps({"terraform_version": "1.11.4", "planned_values": {"root_module": {"resources": shown}}})
    )
    found = scan(tmp_path, "terraform_plan")
    assert {each.where for each in unaccepted(found)} == {"aws_iam_role_policy.opened"}
    assert {each.where for each in found.passed} == resources.keys()


def change(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert text.count(old) == 1, f"{file.name}: {old!r}"
    file.write_text(text.replace(old, new))
