"""`headwater worker`: run stages of the pipelines until stopped."""

from typing import Annotated

import typer

from streams.cli.problems import USAGE, CommandError
from streams.cli.sources import load_settings


def worker(
    stages: Annotated[
        str,
        typer.Option(
            metavar="STAGE,...", help="Stages to host, with commas between them; all of them where none is named."
        ),
    ] = "",
) -> None:
    """Run stages of the pipelines until SIGTERM or Ctrl-C, then finish what is in hand.

    Logs are JSON lines on standard error; `worker ready` says that records are being read. Exit code 0: stopped;
    1: a backend or the broker was away for too long, or too many bugs; 2: the settings cannot work.
    """
    from streams.pipelines import STAGES

    settings = load_settings()
    names = [name.strip() for name in stages.split(",") if name.strip()]
    if unknown := [name for name in names if name not in STAGES]:
        raise CommandError(f"--stages: {', '.join(map(repr, unknown))} is none of {', '.join(STAGES)}", USAGE)

    import asyncio

    from streams import logs
    from streams.tracing import tracing
    from streams.worker import serve

    logs.configure(settings.log_level)
    with tracing(settings, "-".join(names) or "worker") as tracer:
        code = asyncio.run(serve(settings, names, tracer=tracer))
    raise typer.Exit(code)
