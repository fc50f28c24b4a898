"""Whether objects are what their kinds' schemas say, unknown fields included."""

from collections.abc import Iterator, Mapping
from functools import partial
from itertools import combinations

from jsonschema import Draft4Validator, FormatChecker, ValidationError
from jsonschema.validators import extend

from infra.k8s.schemas.schema import Published, Schema

FORMATS = FormatChecker(formats=())


class Checker:
    """Says what is wrong with an object.

    Rules in CEL (`x-kubernetes-validations`) are not evaluated, and nothing is known of what an API server, a webhook
    or an operator checks in code.
    """

    def __init__(self, published: Published) -> None:
        components = {"schemas": {name: strict(schema) for name, schema in published.schemas.items()}}
        self._validators = {
            kind: _Validator({"$ref": f"#/components/schemas/{name}", "components": components}, format_checker=FORMATS)
            for kind, name in published.names.items()
        }

    def faults(self, each: Mapping[str, object]) -> list[str]:
        """Which object, where in it, and what; nothing where all is well."""
        kind = str(each.get("apiVersion")), str(each.get("kind"))
        match each.get("metadata"):
            case {"name": str(name)}:
                what = f"{kind[1]}/{name}"
            case _:
                return [f"a {kind[1]} has no name"]
        if kind not in self._validators:
            return [f"{what}: no schema of {kind[1]} in {kind[0]}"]
        return [f"{what}: {error.json_path}: {error.message}" for error in self._validators[kind].iter_errors(each)]


def strict(schema: Schema, keeps: bool = False) -> Schema:
    """A JSON Schema that means the same, except that fields which it does not name are errors.

    They are none below a schema that preserves unknown fields, or a list (`keeps`) that does.
    """
    made = schema.copy()
    keeps = schema.get("x-kubernetes-preserve-unknown-fields", keeps)
    if "properties" in schema:
        made["properties"] = {name: strict(each) for name, each in schema["properties"].items()}
    if "items" in schema:
        made["items"] = strict(schema["items"], keeps)
    if isinstance(rest := schema.get("additionalProperties"), dict):
        made["additionalProperties"] = strict(rest)
    elif schema.get("type") == "object" and not keeps:
        made.setdefault("additionalProperties", False)
    if schema.get("x-kubernetes-int-or-string"):
        made["type"] = ["integer", "string"]
    if schema.get("nullable"):
        types = made.get("type", [])
        made["type"] = [*([types] if isinstance(types, str) else types), "null"]
        if "enum" in schema:
            made["enum"] = [*schema["enum"], None]
    return made


def _same_keys(validator: object, keys: list[str], items: object, schema: Schema) -> Iterator[ValidationError]:
    """Two items of a list that is a map: server-side apply refuses them."""
    held = [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []
    for one, other in combinations(({key: item.get(key) for key in keys} for item in held), 2):
        if one == other:
            yield ValidationError(f"two items have {one!r}")


def _same_items(validator: object, kind: str, items: object, schema: Schema) -> Iterator[ValidationError]:
    if kind == "set" and isinstance(items, list):
        for one, other in combinations(items, 2):
            if one == other:
                yield ValidationError(f"{one!r} is there twice")


# OpenAPI 3.0 is closest to this draft: `$ref` has no siblings, `exclusiveMinimum` is a bool, 1.0 is no integer.
_Validator = extend(Draft4Validator, {"x-kubernetes-list-map-keys": _same_keys, "x-kubernetes-list-type": _same_items})


def _fits(bits: int, value: object) -> bool:
    return not isinstance(value, int) or -(2 ** (bits - 1)) <= value < 2 ** (bits - 1)


for _bits in (32, 64):
    FORMATS.checks(f"int{_bits}")(partial(_fits, _bits))
