"""Terraform's files as they are written, for what no plan shows."""

from pathlib import Path
from typing import Any

import hcl2

TERRAFORM = Path(__file__).parents[2] / "infra" / "terraform"


def parsed(file: str) -> dict[str, Any]:
    """A file by its path below infra/terraform, without the quotes of its names and texts."""
    found: dict[str, Any] = _bare(hcl2.loads((TERRAFORM / file).read_text()))
    return found


def _bare(value: Any) -> Any:
    if isinstance(value, str):
        return value.strip('"')
    if isinstance(value, list):
        return [_bare(each) for each in value]
    if isinstance(value, dict):
        # The parser's own notes begin so.
        return {_bare(key): _bare(each) for key, each in value.items() if not key.startswith("__")}
    return value
