"""The `headwater` command: what its words are, where they live, and what its exit codes mean."""

import json
import os
import sys
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import import_module, metadata
from pathlib import Path
from types import TracebackType
from typing import Annotated, Protocol

import typer
from typer.core import TyperCommand, TyperGroup

from streams.cli.placeholders import worded
from streams.cli.problems import LEFT, CommandError, describe, exit_code, record
from streams.cli.sources import flags


@dataclass(frozen=True, slots=True)
class Lazy:
    """A command that is imported when it is called, so that no command pays for another."""

    target: str
    """`module:function`; the function's signature is the command's."""
    summary: str
    panel: str = ""


LOCAL, DATA, OPERATE, CONTRACT = "Local stack", "Documents and questions", "Operation", "Contract"

COMMANDS: Mapping[str, Lazy | Mapping[str, Lazy]] = {
    "up": Lazy("streams.cli.stack:up", "Start the local stack and its workers.", LOCAL),
    "down": Lazy("streams.cli.stack:down", "Stop the local stack.", LOCAL),
    "status": Lazy("streams.cli.stack:status", "Show what runs, where, and what it costs.", LOCAL),
    "doctor": Lazy("streams.cli.doctor:doctor", "Reach every backend; say what is wrong and what to do.", LOCAL),
    "ingest": Lazy("streams.cli.ingest:ingest", "Publish files and folders, and wait for their receipts.", DATA),
    "ask": Lazy("streams.cli.ask:ask", "Ask a question; the answer streams in with its citations.", DATA),
    "documents": {
        "list": Lazy("streams.cli.documents:list_documents", "List the documents that searches see."),
        "show": Lazy("streams.cli.documents:show", "Show one document and its chunks."),
        "delete": Lazy("streams.cli.documents:delete", "Erase documents, and wait until nothing is left of them."),
    },
    "dlq": {
        "list": Lazy("streams.cli.dlq:list_letters", "List the dead letters that are open."),
        "show": Lazy("streams.cli.dlq:show", "Show letters whole."),
        "replay": Lazy("streams.cli.dlq:replay", "Write the records of letters back to their topics, each once."),
        "drop": Lazy("streams.cli.dlq:drop", "Give letters up."),
    },
    "backup": {
        "save": Lazy("streams.cli.backup:save", "Save the documents that were published since the last time."),
        "restore": Lazy("streams.cli.backup:restore", "Publish all that was saved again."),
        "forget": Lazy("streams.cli.backup:forget", "Take deleted documents out of what was saved."),
    },
    "worker": Lazy("streams.cli.worker:worker", "Run stages of the pipelines until stopped.", OPERATE),
    "size": Lazy("streams.cli.size:size", "Compute what a load needs, with the arithmetic.", OPERATE),
    "trace": Lazy("streams.cli.trace:trace", "Draw where the time of one trace went.", OPERATE),
    "config": Lazy("streams.cli.config:config", "Show every setting, its value and where that comes from.", OPERATE),
    "topics": {
        "plan": Lazy("streams.cli.topics:plan", "Show what `apply` would change on the broker."),
        "apply": Lazy("streams.cli.topics:apply", "Create the topics that are missing."),
        "check": Lazy("streams.cli.topics:check", "Fail where the broker's topics differ from the table."),
    },
    "contract": Lazy("streams.cli.contract:contract", "Check a server against what the pipelines need.", OPERATE),
    "index": {
        "plan": Lazy("streams.cli.index:plan", "Show how the collections are sized, and what `apply` would change."),
        "apply": Lazy("streams.cli.index:apply", "Create or migrate the collections."),
    },
    "schemas": {
        "export": Lazy("streams.cli.schemas:export", "Write the JSON Schemas and the AsyncAPI document."),
        "check": Lazy("streams.cli.schemas:check", "Fail where the committed contracts differ from the code."),
    },
}
GROUPS = {
    "documents": ("List, show and delete documents.", DATA),
    "dlq": ("List, show, replay and drop dead letters.", OPERATE),
    "backup": ("Save and restore the documents, which nothing else makes anew.", OPERATE),
    "topics": ("Compare and create the topics.", CONTRACT),
    "index": ("Size, create and migrate the collections of the vector store.", CONTRACT),
    "schemas": ("Export and check the wire contract.", CONTRACT),
}


class HelpFormatter(Protocol):
    """The part of typer's own formatter that the list of commands needs."""

    def section(self, name: str) -> AbstractContextManager[None]: ...
    def write_dl(self, rows: list[tuple[str, str]]) -> None: ...


AS_JSON = "headwater.as_json"


class Command(TyperCommand):
    """Leaves a note for whoever reports its failure: whether it was called with `--json`."""

    def invoke(self, ctx: typer.Context) -> object:  # type: ignore[override]  # typer hides the wider class
        ctx.meta[AS_JSON] = ctx.params.get("as_json", False)
        return super().invoke(ctx)


class LazyGroup(TyperGroup):
    """Lists its commands without importing any of them."""

    entries: Mapping[str, Lazy | Mapping[str, Lazy]] = COMMANDS

    def list_commands(self, ctx: typer.Context) -> list[str]:  # type: ignore[override]  # typer hides the wider class
        return list(self.entries)

    def get_command(self, ctx: typer.Context, cmd_name: str) -> TyperCommand | TyperGroup | None:  # type: ignore[override]
        match self.entries.get(cmd_name):
            case None:
                return None
            case Lazy() as entry:
                return TyperCommand(cmd_name, help=entry.summary)
            case entries:
                group = LazyGroup(name=cmd_name, help=GROUPS[cmd_name][0], no_args_is_help=True, rich_markup_mode=None)
                group.entries = entries
                return group

    def format_commands(self, ctx: typer.Context, formatter: HelpFormatter) -> None:  # type: ignore[override]
        panels: dict[str, list[tuple[str, str]]] = {}
        for name, entry in self.entries.items():
            summary, panel = (entry.summary, entry.panel) if isinstance(entry, Lazy) else GROUPS[name]
            panels.setdefault(panel or "Commands", []).append((name, summary))
        for panel, rows in panels.items():
            with formatter.section(panel):
                formatter.write_dl(rows)

    def resolve_command(  # type: ignore[override]
        self, ctx: typer.Context, args: list[str]
    ) -> tuple[str | None, TyperCommand | TyperGroup | None, list[str]]:
        if args[0] not in self.entries and (near := get_close_matches(args[0], self.entries)):
            ctx.fail(f"No such command {args[0]!r}: did you mean {' or '.join(map(repr, near))}?")
        name, command, rest = super().resolve_command(ctx, args)
        entry = self.entries.get(name or "")
        if isinstance(entry, Lazy) and name is not None:
            return name, load(name, entry), rest
        assert command is None or isinstance(command, TyperCommand | TyperGroup)
        return name, command, rest

    def invoke(self, ctx: typer.Context) -> object:  # type: ignore[override]
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise typer.Exit(130) from None
        except BrokenPipeError:
            # Python writes what is left when it ends, and would complain.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(LEFT) from None
        except (CommandError, OSError, TimeoutError) as error:
            if wants_traceback():
                raise
            if ctx.meta.get(AS_JSON) and (problem := record(error)):
                typer.echo(json.dumps(problem))
            typer.echo(f"headwater: {describe(error)}", err=True)
            raise typer.Exit(exit_code(error)) from error


def load(name: str, entry: Lazy) -> TyperCommand:
    """The real command behind an entry of the table."""
    module, _, function = entry.target.partition(":")
    alone = typer.Typer(add_completion=False, rich_markup_mode=None)
    alone.command(name, cls=Command)(getattr(import_module(module), function))
    command = typer.main.get_command(alone)
    assert isinstance(command, TyperCommand)
    return worded(command)


app = typer.Typer(
    cls=LazyGroup,
    name="headwater",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # drawing the help with rich takes 0.2 s to import
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        try:
            version = metadata.version("headwater")
        except metadata.PackageNotFoundError:
            version = "(not installed: run from its source tree)"
        typer.echo(f"headwater {version}")
        raise typer.Exit


@app.callback()
def headwater(
    kafka: Annotated[str, typer.Option(metavar="HOST:PORT", help="Bootstrap servers of your own broker.")] = "",
    home: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Folder of the local stack's data and state.")
    ] = None,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Documents in, cited answers out: an event-streaming pipeline for retrieval-augmented generation."""
    flags.set({name: value for name, value in (("kafka", kafka), ("home", home)) if value})


def main() -> None:
    """Entry point of the `headwater` script."""
    sys.excepthook = _one_line
    typer.main.get_command(app)(prog_name="headwater")  # typer's own call would put its hook over ours


def wants_traceback() -> bool:
    from streams.cli.sources import load_settings

    try:
        return load_settings().log_level == "debug"
    except CommandError:
        return False


def _one_line(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if wants_traceback():
        sys.__excepthook__(kind, error, trace)
        return
    typer.echo(
        f"headwater: unexpected {kind.__name__}: {error}\nThis is a bug; HEADWATER_LOG_LEVEL=debug shows where.",
        err=True,
    )
