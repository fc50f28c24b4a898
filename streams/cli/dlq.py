"""`headwater dlq`: dead letters, listed, shown, replayed and dropped."""

import asyncio
import json
import shutil
import signal
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from streams.cli.problems import UNREACHABLE, USAGE, CommandError
from streams.cli.reporting import counted, explained, plain
from streams.cli.selecting import All, Codes, Documents, Ids, Stages, selected
from streams.cli.sources import load_settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from streams.cli.replays import Replay
    from streams.letters.box import Box
    from streams.letters.desk import Desk
    from streams.letters.planning import Plan
    from streams.letters.selection import Selection

AsJson = Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")]
INTERRUPTED = 130


def list_letters(
    *, code: Codes = None, stage: Stages = None, document: Documents = None, as_json: AsJson = False
) -> None:
    """List the dead letters that are open: neither replayed nor dropped. The oldest of each topic comes first."""
    from streams.cli import letters

    selection = selected((), code, stage, document, everything=True)
    with explained():
        box = _desk().read(selection)
    if as_json:
        typer.echo(json.dumps({"letters": [letters.as_data(letter) for letter in box.open]}))
        return
    for line in letters.table(box.open, shutil.get_terminal_size().columns if sys.stdout.isatty() else None):
        typer.echo(line)
    typer.echo(letters.total(box.open))


def show(
    ids: Annotated[list[str], typer.Argument(metavar="ID", help="As `dlq list` prints them.")],
    *,
    as_json: AsJson = False,
) -> None:
    """Show letters whole: what is wrong, where the record came from, what it went through, its headers and value."""
    from streams.cli.letters import Shown

    desk, selection = _desk(), selected(ids, None, None, None)
    with explained():
        box = desk.read(selection)
        found = sorted([*((letter, None) for letter in box.open), *box.settled], key=lambda pair: pair[0].id)
        shown = [
            Shown(letter, mark, record) for letter, mark in found if (record := desk.record(letter.id)) is not None
        ]
    if as_json:
        typer.echo(json.dumps({"letters": [each.as_data() for each in shown]}))
    else:
        typer.echo("\n\n".join(plain(each.as_text()) for each in shown), nl=bool(shown))
    _all_found(box, selection)


def replay(
    ids: Ids = None,
    *,
    code: Codes = None,
    stage: Stages = None,
    document: Documents = None,
    everything: All = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would happen, and do nothing.")] = False,
    rate: Annotated[float | None, typer.Option(min=0.01, metavar="N", help="At most so many records a second.")] = None,
    as_json: AsJson = False,
) -> None:
    """Write the records of dead letters back to their topics, each once.

    Letters of questions past their deadline are left out unless they are named: nobody waits for the answer any more.
    Exit code 0: replayed, now or before; 1: some cannot be; 3: broker unreachable; 130: interrupted, and the same
    command goes on.
    """
    from streams.cli.replays import Replay

    desk, selection = _desk(), selected(ids or (), code, stage, document, everything=everything)
    run = Replay(named=bool(ids), quiet=as_json or dry_run)
    lost: ConnectionError | None = None
    with explained(), _segmented():
        if dry_run:
            box = desk.read(selection)
            run.planned(box, desk.plan(box, selection))
        else:
            lost = asyncio.run(_replayed(desk, selection, run, rate))
    typer.echo(json.dumps(run.as_data(dry=dry_run)) if as_json else plain(run.as_text(dry=dry_run)))
    if lost is not None:
        raise CommandError(str(lost), UNREACHABLE, answered=True)
    if run.ended == "interrupted":
        raise typer.Exit(INTERRUPTED)
    if run.refused:
        raise CommandError(f"{counted(len(run.refused), 'letter')} cannot be replayed", answered=True)
    _all_found(run.box, selection)


def drop(
    ids: Ids = None,
    *,
    code: Codes = None,
    stage: Stages = None,
    document: Documents = None,
    everything: All = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """Give letters up: they are listed and replayed no more, and deleted where no open one lies before them.

    Kafka deletes from the beginning of a partition only; what lies behind an open letter is deleted by the next drop
    after that one is settled, or when the topic's retention is over.
    """
    from streams.cli import letters
    from streams.letters.selection import Selection

    desk, selection = _desk(), selected(ids or (), code, stage, document, everything=everything)
    with explained():
        box = desk.read(selection)
    if box.open and not yes:
        _confirm(letters.total(box.open))
    with explained():
        # What was asked about, and nothing that came since.
        meant = Selection(ids=frozenset(letter.id for letter in (*box.open, *(each for each, _ in box.settled))))
        dropped, deleted = asyncio.run(desk.drop(meant))
    before = box.settled if ids else ()
    if as_json:
        data = {
            "dropped": [str(letter.id) for letter in dropped],
            "deleted": deleted,
            "already": letters.already_as_data(before),
        }
        typer.echo(json.dumps(data))
    else:
        for line in letters.already(before):
            typer.echo(line)
        typer.echo(f"{counted(len(dropped), 'letter')} dropped; {deleted} deleted from the broker")
    _all_found(box, selection)


def _desk() -> "Desk":
    from streams.letters.desk import Desk

    def wait() -> None:
        typer.echo("headwater: another `headwater dlq` is at work; waiting for our turn", err=True)

    return Desk(load_settings(), on_wait=wait)


def _all_found(box: "Box", selection: "Selection") -> None:
    if missing := box.missing(selection):
        raise CommandError(f"there is no letter {', '.join(map(str, missing))}, or not any more", answered=True)


@contextmanager
def _segmented() -> "Iterator[None]":
    """Which topics are read is known from the pipelines, and their settings may be wrong."""
    from streams.composition import UnknownBackend
    from streams.runtime.segments import SegmentError

    try:
        yield
    except (UnknownBackend, SegmentError) as error:
        raise CommandError(f"the settings of the pipelines: {error}", USAGE) from error


def _confirm(what: str) -> None:
    if not _is_watched():
        raise CommandError(f"{what}: say --yes to drop them", USAGE)
    typer.confirm(f"{what}. Drop them? Their documents and questions are lost to the pipeline", abort=True, err=True)


def _is_watched() -> bool:
    return sys.stdin.isatty()


async def _replayed(desk: "Desk", selection: "Selection", run: "Replay", rate: float | None) -> ConnectionError | None:
    """The reason why it was broken off in the middle, if it was. Raises what keeps it from beginning."""
    from streams.letters.replaying import Pace

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def interrupt() -> None:
        run.ended = "interrupted"
        stop.set()
        loop.remove_signal_handler(signal.SIGINT)  # whoever asks twice does not want to wait for the broker

    def begin(box: "Box", plan: "Plan") -> None:
        run.planned(box, plan)
        loop.add_signal_handler(signal.SIGINT, interrupt)  # before, nothing has to be brought to an end

    try:
        with run:
            run.refused += await desk.replay(selection, pace=Pace(rate), stop=stop, on_plan=begin, on_done=run.done)
    except ConnectionError as error:
        if not run.begun:
            raise
        run.ended = "broken off"
        return error
    return None
