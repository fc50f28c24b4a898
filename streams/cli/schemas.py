"""`headwater schemas`: the wire contract as files, and whether they still say what the code does."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from streams.cli.problems import CommandError


def export(
    out: Annotated[Path | None, typer.Option(help="Folder to write to; none: where the repository keeps them.")] = None,
) -> None:
    """Write the JSON Schema of every event, and the AsyncAPI document."""
    from schemas import contract
    from streams import asyncapi

    if out is None:
        broken = [difference.ce_type for difference in contract.differences(contract.CONTRACTS) if difference.breaking]
        if broken:
            raise CommandError(
                f"not exported: {', '.join(broken)} would break readers or writers; `headwater schemas check` says how"
            )
        if not asyncapi.DOCUMENT.parent.is_dir():
            raise CommandError("this installation is not a source tree: name a folder with --out")
    written = contract.export(out or contract.CONTRACTS)
    document = out / asyncapi.DOCUMENT.name if out else asyncapi.DOCUMENT
    written += [document] if asyncapi.export(document) else []
    for path in written:
        typer.echo(path)
    typer.echo(f"files written: {len(written)}" if written else "everything was up to date", err=True)


def check(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON array on standard output.")] = False,
) -> None:
    """Fail where the committed contracts differ from the code, and say whether that breaks anyone."""
    from schemas import EVENTS, contract
    from streams import asyncapi

    found = contract.differences(contract.CONTRACTS)
    stale = asyncapi.DOCUMENT.parent.is_dir() and not asyncapi.is_fresh(asyncapi.DOCUMENT)
    if stale:
        found.append(contract.Difference(asyncapi.DOCUMENT.name, False, ("it is stale",), contract.EXPORT))
    if as_json:
        typer.echo(json.dumps([asdict(difference) for difference in found], indent=2))
    elif not found:
        typer.echo(f"{len(EVENTS)} events match their contracts")
    for difference in () if as_json else found:
        typer.echo(f"{difference.ce_type}: {'BREAKING' if difference.breaking else 'stale'}")
        for change in difference.changes:
            typer.echo(f"  {change}")
        typer.echo(f"  remedy: {difference.remedy}")
    if found:
        raise typer.Exit(1)
