"""What the import rules cannot say: they see packages, and these are about parts of one."""

import ast
from collections.abc import Iterator
from importlib import util
from pathlib import Path

NAMES = ("schemas", "processors", "streams")


def imported() -> Iterator[tuple[str, str]]:
    """Every import in our code, as (importing module, imported module)."""
    for name in NAMES:
        spec = util.find_spec(name)
        assert spec is not None
        assert spec.origin is not None
        root = Path(spec.origin).parent
        for source in root.rglob("*.py"):
            importer = ".".join((name, *source.relative_to(root).with_suffix("").parts))
            for node in ast.walk(ast.parse(source.read_text())):
                if isinstance(node, ast.Import):
                    yield from ((importer, alias.name) for alias in node.names)
                elif isinstance(node, ast.ImportFrom):
                    assert node.level == 0, f"{importer}: relative import"
                    yield importer, node.module or ""


def test_only_one_module_configures_opentelemetry() -> None:
    sdk = {
        importer
        for importer, module in imported()
        if module.startswith(("opentelemetry.sdk", "opentelemetry.exporter"))
    }
    assert sdk <= {"streams.tracing", "streams.spans"}


def test_processors_do_not_read_the_clock_or_the_environment() -> None:
    stages = {f"processors.{name}" for name in ("chunk", "embed", "upsert", "retrieve", "rerank", "generate")}
    found = {(importer, module) for importer, module in imported() if importer in stages}
    assert not {each for each in found if each[1] in ("os", "time", "logging", "random")}
