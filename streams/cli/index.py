"""`headwater index`: what the vector store should look like, and how it differs from that."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Annotated, assert_never

import typer

from streams.cli.problems import USAGE, CommandError
from streams.cli.reporting import explained, plain
from streams.cli.sources import load_settings

if TYPE_CHECKING:
    from processors.index_plan import Change, Expected, How, IndexPlan, Provisioner
    from streams.composition import Backends

AsJson = Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")]
Rows = Annotated[int | None, typer.Option(min=1, help="Chunks that are expected; default: as in `index_expected`.")]
Writers = Annotated[int | None, typer.Option(min=1, help="Upserting workers; default: as in `index_expected`.")]
Memory = Annotated[
    float | None, typer.Option(min=0.1, help="GiB of all query nodes for it; default: as in `index_expected`.")
]


def plan(
    *,
    rows: Rows = None,
    writers: Writers = None,
    memory_gib: Memory = None,
    dimensions: Annotated[
        int | None, typer.Option(min=1, help="Of the vectors; default: those stored, or the embedder's.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show how the collections are sized, and what `apply` would change."""
    with explained():
        planned = asyncio.run(_planned(_expected(rows, writers, memory_gib), dimensions))
    if as_json:
        typer.echo(json.dumps(asdict(planned), indent=2))
        return
    _explain(planned)
    for change in planned.changes:
        typer.echo(plain(f"{change} ({_remedy(change)})"))


def apply(
    *,
    rows: Rows = None,
    writers: Writers = None,
    memory_gib: Memory = None,
    rebuild: Annotated[
        bool, typer.Option("--rebuild", help="Also copy into new collections, for what needs it.")
    ] = False,
    drop: Annotated[bool, typer.Option("--drop", help="Also delete collections that a rebuild has replaced.")] = False,
    as_json: AsJson = False,
) -> None:
    """Create the collections or bring them to what `plan` shows; copies and deletes only where told to.

    Exit code 0: it is as planned; 1: something is left to do; 3: the server does not answer.
    """
    hows: set[How] = {"apply"}
    hows |= {"rebuild"} if rebuild else set()
    hows |= {"drop"} if drop else set()
    with explained():
        planned, left = asyncio.run(_applied(_expected(rows, writers, memory_gib), hows))
    if as_json:
        made = [change for change in planned.changes if change not in left]
        typer.echo(json.dumps(asdict(planned) | {"made": list(map(asdict, made))}, indent=2))
    else:
        _explain(planned)
        for change in planned.changes:
            if change not in left:
                typer.echo(plain(change.done()))
        for change in left:
            typer.echo(plain(f"{change} ({_remedy(change)})"))
    if remedies := [f"{change} ({_remedy(change)})" for change in left if change.how != "drop"]:
        raise CommandError(f"left to do: {'; '.join(remedies)}", answered=True)


def _expected(rows: int | None, writers: int | None, memory_gib: float | None) -> "Expected":
    usual = load_settings().index_expected
    return replace(
        usual,
        rows=rows or usual.rows,
        writers=writers or usual.writers,
        memory_gib=memory_gib or usual.memory_gib,
    )


async def _planned(expected: "Expected", dimensions: int | None) -> "IndexPlan":
    async with _provisioner() as (backends, provisioner):
        model, wide = ("", dimensions) if dimensions else await _vectors(backends, provisioner)
        return await provisioner.plan(expected, model=model, dimensions=wide)


async def _applied(expected: "Expected", hows: "set[How]") -> "tuple[IndexPlan, list[Change]]":
    async with _provisioner() as (backends, provisioner):
        model, dimensions = await _vectors(backends, provisioner)
        planned = await provisioner.plan(expected, model=model, dimensions=dimensions)
        return planned, list(await provisioner.apply(planned, model=model, dimensions=dimensions, hows=hows))


@asynccontextmanager
async def _provisioner() -> "AsyncIterator[tuple[Backends, Provisioner]]":
    from streams.composition import Backends, UnknownBackend

    backends = Backends(load_settings())
    try:
        provisioner = backends.provisioner
    except UnknownBackend as error:
        raise CommandError(f"setting {error}", USAGE) from error
    try:
        await provisioner.open()
        yield backends, provisioner
    finally:
        await provisioner.close()


async def _vectors(backends: "Backends", provisioner: "Provisioner") -> tuple[str, int]:
    """Model and dimensions: of what is stored, whose model nobody needs to ask; else the embedder's."""
    if stored := await provisioner.dimensions():
        return "", stored
    embedder = backends.embedder
    try:
        await embedder.open()
        return embedder.model, embedder.dimensions
    finally:
        await embedder.close()


def _explain(planned: "IndexPlan") -> None:
    for line in planned.layout.arithmetic:
        typer.echo(line)
    typer.echo("")
    if not planned.changes:
        typer.echo(f"{planned.server}: the collections are as they should be")


def _remedy(change: "Change") -> str:
    match change.how:
        case "apply":
            return "apply"
        case "rebuild":
            return "apply --rebuild"
        case "drop":
            return "apply --drop"
        case "hand":
            return "by hand"
        case _:
            assert_never(change.how)
