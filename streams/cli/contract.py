"""`headwater contract`: does a server do what the pipelines need of it?"""

import asyncio
import dataclasses
import json
import os
import re
from typing import TYPE_CHECKING, Annotated

import typer

from streams.cli.problems import UNREACHABLE, USAGE, CommandError
from streams.cli.sources import load_settings

if TYPE_CHECKING:
    from processors.conformance import Outcome
    from streams.conformance import Facts, PortName, Subject

UNITS = {
    "dimensions": "{} dimensions",
    "model": "model {!r}",
    "one_text_ms": "one text in {} ms",
    "three_passages_ms": "three passages in {} ms",
    "one_read_ms": "one read of one's own write in {} ms",
    "first_piece_ms": "first piece of an answer after {} ms",
}


def contract(
    url: Annotated[str, typer.Argument(help="As in the settings: tei+http://host:8080, milvus+http://host:19530, ...")],
    port: Annotated[
        str, typer.Option(help="embedder, reranker, generator or index; guessed from the URL where none is named.")
    ] = "",
    key_env: Annotated[
        str, typer.Option(metavar="NAME", help="Variable that holds the server's key; else that of the settings.")
    ] = "",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")] = False,
) -> None:
    """Run the checks that every backend must pass against a server.

    Exit code 0: all passed; 1: one did not; 2: the arguments are wrong; 3: the server is away. Certificates and keys
    come from the settings, as for a worker. The checks run one after another and are no load test. An index is tried
    in collections of its own, which are dropped at the end.
    """
    asyncio.run(_run(url, _port(port), _secret(key_env), quiet=as_json))


async def _run(url: str, port: "PortName | None", secret: str, *, quiet: bool) -> None:
    from processors.errors import Poison, Transient
    from streams.composition import UnknownBackend
    from streams.conformance import NotGuessed, opened

    try:
        async with opened(load_settings(), url, port, secret) as subject:
            outcomes, facts = await _examine(subject, quiet=quiet)
    except (UnknownBackend, NotGuessed) as error:
        raise CommandError(_here(str(error)), USAGE) from error
    except Poison as error:
        raise CommandError(_here(error.detail)) from error
    except Transient as error:
        raise CommandError(_here(error.reason), UNREACHABLE) from error
    except ModuleNotFoundError as error:
        raise CommandError(f"the client for {url!r} is missing: {error}", USAGE) from error
    failed = sum(outcome.verdict == "failed" for outcome in outcomes)
    skipped = sum(outcome.verdict == "skipped" for outcome in outcomes)
    if quiet:
        report = {"url": url, "port": subject.port, "facts": facts, "checks": list(map(dataclasses.asdict, outcomes))}
        typer.echo(json.dumps(report, indent=2))
    else:
        said = ", ".join(UNITS[name].format(value) for name, value in facts.items())
        counts = f"{len(outcomes) - failed - skipped} passed, {failed} failed, {skipped} skipped"
        typer.echo(f"{counts}{said and '; '}{said}")
    if failed or skipped:
        raise typer.Exit(1)


async def _examine(subject: "Subject", *, quiet: bool) -> "tuple[list[Outcome], Facts]":
    from streams.cli.activity import Activity

    if quiet:
        outcomes = [outcome async for outcome in subject.outcomes()]
        return outcomes, await _measured(subject, outcomes)
    outcomes = []
    with Activity() as activity:
        activity.done(f"[bold]{subject.port}[/]", subject.says)
        activity.done("writes", subject.writes)
        activity.now("checking")
        async for outcome in subject.outcomes():
            outcomes.append(outcome)
            mark = {"passed": "[green]passed[/] ", "failed": "[red]FAILED[/] ", "skipped": "skipped"}[outcome.verdict]
            activity.done(f"{mark} {outcome.ms:7.0f} ms ", outcome.check)
            if outcome.verdict == "failed":
                activity.done(" " * 19, outcome.says)
            if outcome.reason:
                activity.done(" " * 19, _here(outcome.reason))
        activity.now("measuring single calls")
        facts = await _measured(subject, outcomes)
    return outcomes, facts


async def _measured(subject: "Subject", outcomes: "list[Outcome]") -> "Facts":
    """Only of a server that works."""
    return await subject.measured() if all(outcome.verdict == "passed" for outcome in outcomes) else {}


def _here(message: str) -> str:
    """The message, with what the settings that its remedy names are in this command."""
    from streams.conformance import SECRETS

    words = set(re.findall(r"\w+", message))
    ports = [f"{port} is the URL given" for port in SECRETS if port in words]
    keys = [f"{secret} is what --key-env names" for secret in SECRETS.values() if secret in words]
    notes = ports + keys
    return f"{message} (here {', '.join(notes)})" if notes else message


def _port(name: str) -> "PortName | None":
    from streams.conformance import PORTS

    if not name:
        return None
    for known in PORTS:
        if name == known:
            return known
    raise CommandError(f"--port {name!r} is none of {', '.join(PORTS)}", USAGE)


def _secret(variable: str) -> str:
    if variable and not os.environ.get(variable):
        raise CommandError(f"--key-env {variable!r}: this variable is not set", USAGE)
    return os.environ.get(variable, "") if variable else ""
