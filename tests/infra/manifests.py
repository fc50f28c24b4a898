"""What each overlay and combination of infra/k8s renders to, as `kubectl kustomize` shows it."""

import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2] / "infra" / "k8s"
TREES = sorted(str(path.parent.relative_to(ROOT)) for path in ROOT.glob("*/*/kustomization.yaml"))
COMBINATIONS = [tree for tree in TREES if tree.startswith(("overlays/", "tests/"))]
Object = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Pods:
    """What makes pods, and the pods that it makes."""

    owner: str
    """Kind and name."""
    labels: Mapping[str, str]
    spec: Mapping[str, Any]
    ends: bool
    """Whether they run to their end, as those of a Job or a CronJob do."""

    def containers(self) -> Iterator[tuple[str, Mapping[str, Any], bool]]:
        """Each container with a name to report it by, and whether it runs as long as the pod."""
        for kind in ("initContainers", "containers"):
            for container in self.spec.get(kind, ()):
                serves = kind == "containers" or container.get("restartPolicy") == "Always"
                yield f"{self.owner}/{container['name']}", container, serves and not self.ends


@cache
def rendered(tree: str) -> Sequence[Object]:
    """The objects of a combination."""
    program = shutil.which("kubectl")
    if program is None:
        pytest.skip("no kubectl on the PATH: nothing of infra/k8s is checked; install 1.32 or newer")
    done = subprocess.run(
        [program, "kustomize", str(ROOT / tree)], capture_output=True, text=True, check=False, timeout=60
    )
    assert not done.returncode, done.stderr
    assert not done.stderr, done.stderr  # a warning: of a deprecated field, say
    return [each for each in yaml.load_all(done.stdout, yaml.CSafeLoader) if each]  # ten times as fast as in Python


def of_kind(tree: str, *kinds: str) -> Iterator[Object]:
    return (each for each in rendered(tree) if each["kind"] in kinds)


def name_of(each: Object) -> str:
    return f"{each['kind']}/{each['metadata']['name']}"


def pods(tree: str) -> Iterator[Pods]:
    """Of everything that makes pods itself; operators make theirs."""
    for each in of_kind(tree, "Deployment", "StatefulSet", "DaemonSet", "Job", "CronJob"):
        spec = each["spec"]["jobTemplate"]["spec"] if each["kind"] == "CronJob" else each["spec"]
        template = spec["template"]
        yield Pods(name_of(each), template["metadata"].get("labels", {}), template["spec"], "Job" in each["kind"])


def chosen(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """Whether a label selector, in its short or its long form, meets these labels."""
    if not selector.keys() & {"matchLabels", "matchExpressions"}:
        selector = {"matchLabels": selector}
    for rule in selector.get("matchExpressions", ()):
        has = labels.get(rule["key"])
        meets = {
            "In": has in rule.get("values", ()),
            "NotIn": has not in rule.get("values", ()),
            "Exists": has is not None,
            "DoesNotExist": has is None,
        }
        if not meets[rule["operator"]]:
            return False
    return all(labels.get(key) == value for key, value in (selector.get("matchLabels") or {}).items())
