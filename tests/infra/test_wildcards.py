"""A wildcard in a policy has its reason beside it: in IAM's and KMS's policies, and in network policies."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from infra.terraform import offline
from tests.infra.manifests import ROOT

OBJECTS = re.compile(r"\$\{(?:var\.bucket_arns\.\w+|local\.arns\[each\.key\])\}/(?:\w+/)*\*")
"""All objects of one bucket, or of a folder of it: their names are hashes and counters, known to no policy."""
WILDCARD = re.compile(r'"[^"]*\*[^"]*"')
BEGINNING = re.compile(r"^\s*$|\{$")
"""An empty line, or where a block or a statement opens."""
NESTED = re.compile(r"^\s*[A-Z]\w+\s+=\s+\{$")
"""A block within a statement, such as its condition; a role of a table begins with a small letter."""


def unexplained(terraform: str) -> list[str]:
    """Lines with a wildcard and no comment above them in their statement."""
    lines = terraform.splitlines()
    wild = [n for n, line in enumerate(lines) if WILDCARD.search(OBJECTS.sub("", line)) and "regex(" not in line]
    return [f"{n + 1}: {lines[n].strip()}" for n in wild if not any(map(_comment, _above(lines[:n])))]


def _above(lines: list[str]) -> Iterator[str]:
    for line in reversed(lines):
        if BEGINNING.search(line) and not NESTED.match(line):
            return
        yield line


def _comment(line: str) -> bool:
    return line.lstrip().startswith("#")


@pytest.mark.parametrize("path", sorted(offline.HERE.rglob("*.tf")), ids=lambda path: "/".join(path.parts[-3:]))
def test_a_policy_says_why_it_has_a_wildcard(path: Path) -> None:
    assert not unexplained(path.read_text())


@pytest.mark.parametrize(
    ("statement", "accused"),
    [
        ('Action = "s3:*"', 1),
        ('Action = ["s3:GetObject", "s3:Put*"]', 1),
        ('Resource = [\n  "*"\n]', 1),
        ('# Lists, and cannot be narrowed.\nResource = "*"', 0),
        ('# Ours alone.\nCondition = {\n  ArnLike = {\n    "aws:arn" = ["a/*"]\n  }\n}', 0),
        ('# Of another statement.\nResource = "a"\n},\n{\nResource = "*"', 1),
        ('# What it is for.\nchunk = {\nmay = [\n{ Action = ["s3:*"] },\n]\n}', 1),
        ('Resource = ["${var.bucket_arns.claims}/*"]', 0),
        ('Resource = ["${var.bucket_arns.claims}*"]', 1),
    ],
)
def test_a_wildcard_without_a_reason_is_found(statement: str, accused: int) -> None:
    assert len(unexplained(f"policy = jsonencode({{\n{statement}\n}})")) == accused


def open_to_many(policy: str) -> bool:
    """Whether a rule lets in, or out to, whoever there is, or on any port."""
    spec = yaml.safe_load(policy)["spec"]
    for rule in (*spec.get("ingress", ()), *spec.get("egress", ())):
        peers = rule.get("from") or rule.get("to") or [{}]
        blocks = [peer["ipBlock"]["cidr"] for peer in peers if "ipBlock" in peer]
        if not rule.get("ports") or not all(peer and all(peer.values()) for peer in peers):
            return True
        if any(block.endswith("/0") for block in blocks):
            return True
    return False


def network_policies() -> Iterator[tuple[str, str]]:
    for path in sorted(ROOT.rglob("*.yaml")):
        for document in re.split(r"^---$", path.read_text(), flags=re.MULTILINE):
            if "kind: NetworkPolicy\n" in document:
                yield str(path.relative_to(ROOT)), document


@pytest.mark.parametrize(("path", "policy"), list(network_policies()))
def test_a_network_policy_says_why_it_is_open(path: str, policy: str) -> None:
    assert not open_to_many(policy) or any(map(_comment, policy.splitlines())), path


@pytest.mark.parametrize(
    ("rule", "is_open"),
    [
        ("{from: [{podSelector: {matchLabels: {a: b}}}], ports: [{port: 1}]}", False),
        ("{from: [{podSelector: {matchLabels: {a: b}}}]}", True),
        ("{from: [{podSelector: {}}], ports: [{port: 1}]}", True),
        ("{from: [{namespaceSelector: {}, podSelector: {matchLabels: {a: b}}}], ports: [{port: 1}]}", True),
        ("{from: [{ipBlock: {cidr: 0.0.0.0/0}}], ports: [{port: 1}]}", True),
        ("{ports: [{port: 1}]}", True),
    ],
)
def test_an_open_network_policy_is_found(rule: str, is_open: bool) -> None:
    assert open_to_many(f"spec: {{ingress: [{rule}]}}") is is_open
