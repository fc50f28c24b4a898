"""What checkov finds in a folder: without a network, and by none of its user's own settings."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

CHECKOUT = Path(__file__).parents[2]
PROGRAM = CHECKOUT / ".headwater" / "servers" / "checkov" / "bin" / "checkov"
BY_RESOURCE = {"terraform", "terraform_plan", "kubernetes"}


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    check: str
    says: str
    where: str
    """A resource of Terraform or Kubernetes, else a file."""


@dataclass(frozen=True, slots=True)
class Scan:
    passed: frozenset[Finding]
    failed: frozenset[Finding]

    def __or__(self, other: "Scan") -> "Scan":
        return Scan(self.passed | other.passed, self.failed | other.failed)


def committed(into: Path) -> Path:
    """A copy of what git holds or would be given, and so of nobody's own `.env`, downloads and builds."""
    if shutil.which("git") is None or not (CHECKOUT / ".git").exists():
        pytest.skip("no git checkout: which files belong to the project is not known, and no policy is checked")
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    for name in subprocess.run(listed, cwd=CHECKOUT, capture_output=True, text=True, check=True).stdout.split("\0"):
        if name and (CHECKOUT / name).is_file():
            (into / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(CHECKOUT / name, into / name)
    return into


def scan(folder: Path, *frameworks: str) -> Scan:
    """Every check of these frameworks on all that is in `folder`."""
    if not PROGRAM.exists():
        pytest.skip("checkov is not installed: no policy is checked; `make infra` installs it")
    options = ["--skip-download", "--enable-secret-scan-all-files", "--soft-fail", "--compact", "--output", "json"]
    command = [str(PROGRAM), "--directory", ".", "--framework", ",".join(frameworks), *options]
    # No API key, and no configuration file of the home directory; without the last, it asks for its newest version.
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "CKV_SKIP_PACKAGE_UPDATE_CHECK": "true"}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=300
    )
    assert not done.returncode, done.stderr
    said = json.loads(done.stdout)
    reports: list[dict[str, Any]] = said if isinstance(said, list) else [said]
    for report in reports:
        assert "results" in report, f"no file for {frameworks} in {folder}"
        assert not report["summary"]["parsing_errors"], report["results"]["parsing_errors"]
        assert not report["results"]["skipped_checks"], "accept a finding in infra/policies.yaml, with its reason"
    return Scan(*(frozenset(_found(reports, kind)) for kind in ("passed_checks", "failed_checks")))


def _found(reports: list[dict[str, Any]], kind: str) -> Iterator[Finding]:
    for report in reports:
        for one in report["results"][kind]:
            by_resource = report["check_type"] in BY_RESOURCE
            where = one["resource"] if by_resource else one["file_path"].lstrip("/")
            yield Finding(one["check_id"], one["check_name"], where)
