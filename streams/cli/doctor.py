"""`headwater doctor`: is everything there that the pipelines need?"""

import asyncio
import dataclasses
import json
from typing import TYPE_CHECKING, Annotated

import typer

from streams.cli.sources import load_settings

if TYPE_CHECKING:
    from streams.doctor import Finding


def doctor(as_json: Annotated[bool, typer.Option("--json", help="One JSON array on standard output.")] = False) -> None:
    """Reach every backend of the settings; exit code 1 where anything is wrong."""
    findings = asyncio.run(_examine(quiet=as_json))
    if as_json:
        typer.echo(json.dumps([dataclasses.asdict(finding) for finding in findings], indent=2))
    wrong = sum(not finding.ok for finding in findings)
    if not as_json:
        typer.echo(f"{wrong} of {len(findings)} need attention" if wrong else "all is well")
    if wrong:
        raise typer.Exit(1)


async def _examine(*, quiet: bool) -> "list[Finding]":
    from streams.cli.activity import Activity
    from streams.doctor import examine

    if quiet:
        return [finding async for finding in examine(load_settings())]
    findings = []
    with Activity() as activity:
        activity.now("reaching every backend")
        async for finding in examine(load_settings()):
            findings.append(finding)
            mark = "[green]ok[/]   " if finding.ok else "[red]wrong[/]"
            activity.done(f"{mark} [bold]{finding.about:<19}[/]", finding.said)
            if not finding.ok and finding.remedy:
                activity.done(" " * 25, finding.remedy)
    return findings
