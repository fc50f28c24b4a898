"""What is read of an OpenAPI schema, and a set of them by kind."""

from dataclasses import dataclass, field
from typing import TypedDict

Kind = tuple[str, str]
"""apiVersion and kind."""

Schema = TypedDict(
    "Schema",
    {
        "$ref": str,
        "type": str | list[str],
        "properties": dict[str, "Schema"],
        "additionalProperties": "Schema | bool",
        "items": "Schema",
        "enum": list[object],
        "nullable": bool,
        "x-kubernetes-int-or-string": bool,
        "x-kubernetes-preserve-unknown-fields": bool,
        "x-kubernetes-group-version-kind": list[dict[str, str]],
    },
    total=False,
)
"""The keywords that are told apart here; the others go to the validator as they are."""


@dataclass(frozen=True, slots=True)
class Published:
    """What makers published: schemas by name, and the name of each kind's."""

    schemas: dict[str, Schema] = field(default_factory=dict)
    """They refer to one another as OpenAPI does, by `#/components/schemas/NAME`."""
    names: dict[Kind, str] = field(default_factory=dict)
