"""Terraform without a cloud and without a network: providers from a folder, plans by mocks, in a copy of this tree."""

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).parent
PLUGIN_FOLDERS = (
    *(Path.home() / folder for folder in (".terraform.d/plugins", ".local/share/terraform/plugins")),
    *(Path(folder) for folder in ("/usr/local/share/terraform/plugins", "/usr/share/terraform/plugins")),
)


class Unavailable(Exception):
    """Terraform or its provider is not here; the message says which, and the remedy."""


def plugin_folder() -> Path:
    """A folder with the AWS provider: `TF_PLUGIN_DIR`, one of the usual ones, or one below /opt."""
    named = [Path(os.environ["TF_PLUGIN_DIR"])] if "TF_PLUGIN_DIR" in os.environ else []
    for folder in (*named, *PLUGIN_FOLDERS, *sorted(Path("/opt").glob("*"))):
        if any(folder.glob("*/hashicorp/aws")):
            return folder
    raise Unavailable(
        "no folder with the provider hashicorp/aws: name one by TF_PLUGIN_DIR (`terraform providers mirror`)"
    )


@contextmanager
def copied() -> Iterator[Path]:
    """A copy of the modules and envs, in which Terraform may leave what it leaves."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "terraform"
        shutil.copytree(HERE, copy, ignore=shutil.ignore_patterns(".terraform*", "__pycache__"))
        yield copy


def run(folder: Path, *arguments: str) -> str:
    """What `terraform ARGUMENTS` says in `folder`; its errors are raised."""
    program = shutil.which("terraform")
    if program is None:
        raise Unavailable("no terraform on the PATH: install 1.11 or newer")
    # The preset configuration file may be missing, which Terraform would complain about on every call.
    environment = os.environ | {"TF_CLI_CONFIG_FILE": os.devnull, "CHECKPOINT_DISABLE": "1", "TF_IN_AUTOMATION": "1"}
    done = subprocess.run(  # noqa: S603
        [program, *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=600
    )
    if done.returncode:
        raise RuntimeError(f"terraform {' '.join(arguments)} in {folder.name!r}: {done.stdout}{done.stderr}")
    return done.stdout


def init(folder: Path) -> None:
    """Make `folder` ready for `validate` and `test`."""
    run(folder, "init", f"-plugin-dir={plugin_folder()}", "-backend=false", "-no-color", "-input=false")


def plan(tested: str) -> Mapping[str, object]:
    """The plan of the first test of `envs/dev` or `modules/kafka`, say, in the form of `terraform show -json`.

    A real plan would ask AWS; a test asks mocks, and with `-verbose` it shows what it planned.
    """
    with copied() as copy:
        folder = copy / tested
        init(folder)
        lines = run(folder, "test", "-json", "-verbose").splitlines()
    messages = [json.loads(line) for line in lines if line.startswith("{")]
    plans: list[Mapping[str, object]] = [message["test_plan"] for message in messages if message["type"] == "test_plan"]
    return plans[0]
