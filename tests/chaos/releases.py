"""Releases of the product beside the present one, made from its own schemas: one knows less, one knows more."""

import re
import shutil
from collections.abc import Mapping
from pathlib import Path

import schemas

ROOT = Path(__file__).parents[2]
NEWS = "release"
"""The field that each event has in the newer release."""
UNKNOWN = {
    "documents.py": {"    profile: Profile | None = None\n": "    profile: ClassVar[None] = None\n"},
    "queries.py": {
        "    min_versions: MinVersions = field(default_factory=dict)\n": "    min_versions: ClassVar[dict] = {}\n",
        "    wait_for_s: WaitS = 5.0\n": "    wait_for_s: ClassVar[float] = 5.0\n",
    },
}
"""What the older release neither reads nor writes; its code sees the defaults."""


def older(folder: Path) -> Mapping[str, str]:
    """The environment of a release from before some fields were added."""
    package = _copied(folder)
    for name, fields in UNKNOWN.items():
        source = (package / name).read_text()
        for known, unknown in fields.items():
            assert source.count(known) == 1, f"{name} has no line {known.strip()!r} any more: name another late field"
            source = source.replace(known, unknown)
        (package / name).write_text(source)
    return _environment(folder)


def newer(folder: Path) -> Mapping[str, str]:
    """The environment of a release in which every event has one field more, with a default."""
    package = _copied(folder)
    added = 0
    for path in package.glob("*.py"):
        source, count = re.subn(
            r'^    ce_type: ClassVar\[str\] = "headwater\..*"\n',
            rf'\g<0>    {NEWS}: str = "newer"\n',
            path.read_text(),
            flags=re.M,
        )
        path.write_text(source)
        added += count
    assert added, "no event has got its field"
    return _environment(folder)


def _copied(folder: Path) -> Path:
    package = folder / "schemas"
    shutil.copytree(Path(schemas.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__"))
    return package


def _environment(folder: Path) -> Mapping[str, str]:
    """In front of the checkout, which a process would otherwise look into first."""
    return {"PYTHONPATH": f"{folder}:{ROOT}", "PYTHONSAFEPATH": "1"}
