"""The events as JSON Schemas, one file per event version, for readers and writers in any language."""

import ast
import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, is_dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from types import ModuleType

import orjson
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core.core_schema import BytesSchema, TaggedUnionSchema

import schemas.documents
import schemas.ids
import schemas.queries
from schemas import compatibility
from schemas.codec import ADAPTERS
from schemas.registry import EVENTS, Event

CONTRACTS = Path(__file__).parent / "contracts"
"""One JSON Schema per event version, as committed."""

EXAMPLES = Path(__file__).parent / "examples"
"""Golden records, `<ce_type>.json` and `<ce_type>.<case>.json`; each must decode for ever."""

DIALECT = "https://json-schema.org/draft/2020-12/schema"

EXPORT = "run `headwater schemas export` and commit the result"
NEW_VERSION = "keep this version as it was and add a new class with the next version in its ce_type"
RESTORE = "restore the class (and its file): records of this type are in topics and must decode for ever"

MODULES: tuple[ModuleType, ...] = (schemas.ids, schemas.documents, schemas.queries)


def json_schema(event: type[Event]) -> JsonSchemaValue:
    """The JSON Schema (draft 2020-12) of what a producer may write as the value of an `event` record."""
    body = ADAPTERS[event.ce_type].json_schema(schema_generator=_Generator)
    definitions = body.pop("$defs", {})
    for schema in (body, *definitions.values()):
        _describe(schema)
    ordered = {"$schema": DIALECT, "$id": f"urn:headwater:event:{event.ce_type}"}
    ordered |= {name: body.pop(name) for name in ("title", "description", "type", "properties", "required")}
    return ordered | body | ({"$defs": definitions} if definitions else {})


def render(event: type[Event]) -> bytes:
    """The JSON Schema as it stands in its file."""
    return orjson.dumps(json_schema(event), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def contract_path(event: type[Event], directory: Path = CONTRACTS) -> Path:
    return directory / f"{event.ce_type}.json"


@dataclass(frozen=True, slots=True)
class Difference:
    """An event whose class and committed contract disagree."""

    ce_type: str
    breaking: bool
    changes: tuple[str, ...]
    remedy: str


def differences(directory: Path = CONTRACTS) -> list[Difference]:
    """Where the classes and the committed contracts in `directory` disagree; empty: nowhere."""
    known = {event.ce_type: event for event in EVENTS}
    gone = sorted(path.stem for path in directory.glob("*.json") if path.stem not in known)
    found = [Difference(name, True, ("no class has this type any more",), RESTORE) for name in gone]
    return found + [difference for event in EVENTS if (difference := _difference(event, directory))]


def _difference(event: type[Event], directory: Path) -> Difference | None:
    path, wanted = contract_path(event, directory), render(event)
    if not path.exists():
        return Difference(event.ce_type, False, ("it has no committed contract",), EXPORT)
    committed = path.read_bytes()
    if committed == wanted:
        return None
    try:
        found = compatibility.changes(orjson.loads(committed), orjson.loads(wanted))
    except orjson.JSONDecodeError as error:
        return Difference(event.ce_type, True, (f"{path.name} is not JSON: {error}",), RESTORE)
    breaking = any(change.effect == "breaking" for change in found)
    words = tuple(str(change) for change in found) or ("only its descriptions changed",)
    return Difference(event.ce_type, breaking, words, NEW_VERSION if breaking else EXPORT)


def export(directory: Path = CONTRACTS) -> list[Path]:
    """Write every contract to `directory`; the files that changed."""
    directory.mkdir(parents=True, exist_ok=True)
    stale = [event for event in EVENTS if not _is(contract_path(event, directory), render(event))]
    for event in stale:
        contract_path(event, directory).write_bytes(render(event))
    return [contract_path(event, directory) for event in stale]


def _is(path: Path, content: bytes) -> bool:
    return path.exists() and path.read_bytes() == content


def examples(event: type[Event]) -> Mapping[str, bytes]:
    """The golden records of an event by case name; the plain one, case "", comes first."""
    prefix = event.ce_type
    found = sorted(EXAMPLES.glob(f"{prefix}.json")) + sorted(EXAMPLES.glob(f"{prefix}.*.json"))
    return {path.stem.removeprefix(prefix).lstrip("."): path.read_bytes() for path in found}


class _Generator(GenerateJsonSchema):
    """Pydantic's schemas in standard keywords, without titles that repeat the field's name."""

    def field_title_should_be_set(self, schema: object) -> bool:
        return False

    def tagged_union_schema(self, schema: TaggedUnionSchema) -> JsonSchemaValue:
        """A union told apart by a constant: here the constant is required, which the decoder insists on."""
        union = super().tagged_union_schema(schema)
        tag = union.pop("discriminator")["propertyName"]
        for option in union["oneOf"]:
            member = self.get_schema_from_definitions(option["$ref"])
            assert member is not None
            member["required"] = [*member["required"], tag]
            member["properties"][tag].pop("default")
        return union

    def bytes_schema(self, schema: BytesSchema) -> JsonSchemaValue:
        return super().bytes_schema(schema) | {"contentEncoding": "base64"}


def _describe(schema: JsonSchemaValue) -> None:
    """Give each field the docstring that stands under it in the class, or under the name of its type."""
    for name, field in schema.get("properties", {}).items():
        if text := _field_docs(schema["title"]).get(name):
            field["description"] = text


@cache
def _field_docs(class_name: str) -> Mapping[str, str]:
    docs: dict[str, str] = {}
    for module in MODULES:
        cls = getattr(module, class_name, None)
        if is_dataclass(cls) and cls.__module__ == module.__name__:
            assert isinstance(cls, type)
            for ancestor in reversed(cls.__mro__[:-1]):
                docs |= _documented_fields(module).get(ancestor.__name__, {})
    return docs


@cache
def _documented_fields(module: ModuleType) -> Mapping[str, Mapping[str, str]]:
    tree = ast.parse(inspect.getsource(module))
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    return {node.name: dict(_docstrings(node.body)) for node in classes}


@cache
def _type_docs() -> Mapping[str, str]:
    bodies = [ast.parse(inspect.getsource(module)).body for module in MODULES]
    return {
        statement.targets[0].id: _text(following)
        for body in bodies
        for statement, following in pairwise(body)
        if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name) and _text(following)
    }


def _docstrings(body: list[ast.stmt]) -> Iterator[tuple[str, str]]:
    for statement, following in pairwise([*body, ast.Pass()]):
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            named = [node.id for node in ast.walk(statement.annotation) if isinstance(node, ast.Name)]
            text = _text(following) or next((_type_docs()[name] for name in named if name in _type_docs()), "")
            if text:
                yield statement.target.id, text


def _text(statement: ast.stmt) -> str:
    """The words of a statement that is nothing but a string."""
    match statement:
        case ast.Expr(value=ast.Constant(value=str(text))):
            return " ".join(text.split())
        case _:
            return ""
