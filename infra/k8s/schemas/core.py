"""Kubernetes' own kinds: the OpenAPI files of its source, and the allowed values, which those leave out."""

import json
import re
from collections.abc import Mapping
from pathlib import Path

from infra.k8s.schemas.schema import Published, Schema

SPECS = "api/openapi-spec/v3/api*_openapi.json"
GENERATED = "pkg/generated/openapi/zz_generated.openapi.go"
"""What an API server answers from. The files beside it are made with the gate `OpenAPIEnums` off, so without values."""
LINE = re.compile(
    r"""
    ^ (?: func\ schema_k8sio_api_(?P<schema>\w+)\(
        | \t{5} "(?P<field>\w+)":\ \{
        | \t{7} (?P<items>\t{3})? Enum:\ +\[\]interface\{\}\{ (?P<values>.*) \},$ )
    """,
    re.MULTILINE | re.VERBOSE,
)
"""gofmt's indentation says which field of a schema a line belongs to, or to the items of which."""


def add_core(to: Published, kubernetes: Path) -> None:
    """The schemas of all groups, from the folder of the module k8s.io/kubernetes."""
    for file in sorted(kubernetes.glob(SPECS)):
        document = json.loads(file.read_text())
        to.schemas.update(document.get("components", {}).get("schemas", {}))
    for name, schema in to.schemas.items():
        match schema.get("x-kubernetes-group-version-kind"):
            case [{"group": group, "version": version, "kind": kind}]:
                to.names[f"{group}/{version}" if group else version, kind] = name
    _add_values(to.schemas, (kubernetes / GENERATED).read_text())


def _add_values(schemas: Mapping[str, Schema], generated: str) -> None:
    fields: Mapping[str, Schema] = {}
    field: Schema | None = None
    for found in LINE.finditer(generated):
        if found["schema"]:
            # Groups that are not served by default have no file, and so no schema here.
            fields = schemas.get(f"io.k8s.api.{found['schema'].replace('_', '.')}", {}).get("properties", {})
        elif found["field"]:
            field = fields.get(found["field"])
        elif field is not None:
            # At the items' indentation there is one map as well, in a status, which nobody applies.
            holder = field.get("items", {}) if found["items"] else field
            holder["enum"] = json.loads(f"[{found['values']}]")
