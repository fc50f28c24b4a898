"""Effective settings of a command: flags, then `HEADWATER_*` variables, then `headwater.toml`, then defaults."""

import os
import re
import tomllib
from collections.abc import Mapping
from contextvars import ContextVar
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from streams.cli.problems import USAGE, CommandError

if TYPE_CHECKING:
    from pydantic import ValidationError
    from pydantic_settings import SettingsError

    from streams.settings import Settings

SETTINGS_FILE = Path("headwater.toml")
PREFIX = "HEADWATER_"

_TAGS = re.compile(r"\.(list(?=\.\d)|instance)(?=\.|$)")
"""Steps of a path that pydantic adds for the alternatives of `Instances`, and nobody wrote."""

flags: ContextVar[Mapping[str, object]] = ContextVar("flags", default=MappingProxyType({}))
"""Global options of this invocation, by the setting that they override."""


def load_settings() -> "Settings":
    """The settings that this command runs with; a wrong one ends it with a message that names it."""
    from pydantic import ValidationError
    from pydantic_settings import SettingsError

    from streams.settings import Settings

    try:
        return Settings(**flags.get())  # type: ignore[arg-type]  # the flags are Settings fields by name
    except ValidationError as error:
        raise CommandError(_problem(error), USAGE) from error
    except SettingsError as error:
        raise CommandError(_no_json(error), USAGE) from error
    except tomllib.TOMLDecodeError as error:
        raise CommandError(f"{SETTINGS_FILE} is not valid TOML: {error}", USAGE) from error


def source_of(name: str) -> str:
    """Where the value of a top-level setting comes from."""
    if name in flags.get():
        return f"--{name}"
    variable = f"{PREFIX}{name}".upper()
    for present in os.environ:
        if present.upper() == variable or present.upper().startswith(f"{variable}__"):
            return present
    if SETTINGS_FILE.exists() and name in tomllib.loads(SETTINGS_FILE.read_text()):
        return str(SETTINGS_FILE)
    return "default"


def strangers() -> list[str]:
    """Variables with our prefix that no setting reads: misspelt, or another program's (Kubernetes sets some)."""
    from streams.settings import Settings

    known = {f"{PREFIX}{name}".upper() for name in Settings.model_fields}
    return [name for name in sorted(os.environ) if name.startswith(PREFIX) and name.partition("__")[0] not in known]


def _no_json(error: "SettingsError") -> str:
    """Without the value, which may hold a secret."""
    named = re.search(r'field "(\w+)"', str(error))
    name = named[1] if named else ""
    where = f"setting {name!r} (from {source_of(name)})" if name else str(error)
    why = f": {error.__cause__}" if isinstance(error.__cause__, ValueError) else ""
    return f'{where} is no valid JSON{why}; write it like {{"name": "value"}}, in double quotes'


def _problem(error: "ValidationError") -> str:
    from streams.settings import Settings

    first = error.errors(include_url=False)[0]
    path = [str(part) for part in first["loc"]]
    known = bool(path) and path[0] in Settings.model_fields
    source = source_of(path[0]) if known else str(SETTINGS_FILE)
    setting = _TAGS.sub("", ".".join(path))
    if first["type"] == "extra_forbidden":
        return f"{setting!r} (from {source}) is no setting; `headwater config` lists them"
    is_secret = path and "Secret" in str(Settings.model_fields[path[0]].annotation)
    value = "" if is_secret else f" is {first['input']!r}"
    return f"setting {setting!r} (from {source}){value}: {first['msg'].removeprefix('Value error, ')}"
