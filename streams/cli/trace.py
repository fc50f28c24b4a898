"""`headwater trace`: where the time of one question or document went."""

import shutil
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from streams.cli.problems import USAGE, CommandError
from streams.cli.reporting import plain
from streams.cli.sources import load_settings

if TYPE_CHECKING:
    from streams.spans import SpanStore


def trace(
    name: Annotated[
        str, typer.Argument(metavar="ID", help="Trace id or query id, or the beginning of one.", show_default=False)
    ] = "",
    *,
    last: Annotated[bool, typer.Option("--last", help="The trace that started last.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="The spans as one JSON object.")] = False,
) -> None:
    """Draw one trace from the local span store: a line per span, waits in the broker before the work.

    Spans arrive in the store up to half a second after the work. Where the setting `otlp_endpoint` is set, traces
    are in the system that it names instead.
    """
    from streams.tracing import span_store

    settings = load_settings()
    if bool(name) == last:
        raise CommandError("give a trace id or a query id, or --last", USAGE)
    if settings.otlp_endpoint:
        raise CommandError(f"traces go to {settings.otlp_endpoint}, not to the local store; look there", USAGE)
    store = span_store(settings)
    spans = store.trace(_resolved(store, name))
    if as_json:
        import dataclasses
        import json

        typer.echo(json.dumps({"spans": [dataclasses.asdict(span) for span in spans]}, default=dict))
        return
    from streams.waterfall import ASCII, Pen, waterfall

    width = min(shutil.get_terminal_size().columns, 120) if sys.stdout.isatty() else 80
    unicode = "utf" in (sys.stdout.encoding or "").lower()
    for line in waterfall(spans, width=max(width, 70), pen=Pen() if unicode else ASCII):
        typer.echo(plain(line))


def _resolved(store: "SpanStore", name: str) -> str:
    if not name:
        newest = store.newest()
        if newest is None:
            raise CommandError("no trace is stored yet; ask a question first")
        return newest
    found = store.find(name)
    if not found:
        raise CommandError(f"no trace of {name!r} is stored; spans arrive up to half a second after the work")
    if len(found) > 1:
        raise CommandError(f"{name!r} begins several: {', '.join(found)}", USAGE)
    return found[0]
