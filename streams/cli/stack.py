"""`headwater up`, `down` and `status`: the local stack."""

import json
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from streams.cli.problems import FAILED, UNREACHABLE, CommandError
from streams.cli.reporting import ago
from streams.cli.sources import flags, load_settings

if TYPE_CHECKING:
    from streams.cli.activity import Activity
    from streams.local.state import PartState, StackState
    from streams.settings import Settings

AsJson = Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")]


def up(
    workers: Annotated[bool, typer.Option(help="Start the workers too.")] = True,
    kafka: Annotated[str, typer.Option(metavar="HOST:PORT", help="Use your own broker instead of a local one.")] = "",
) -> None:
    """Start the local stack and its workers, and wait until every part is ready."""
    from streams.local import state
    from streams.local.errors import AlreadyRunning, StackError

    if kafka:
        flags.set({**flags.get(), "kafka": kafka})
    settings = load_settings()
    try:
        try:
            if not state.running(settings.home.resolve()):
                _start(settings, workers)
                return
        except AlreadyRunning:
            pass  # two were started at once
        _join(settings, workers)
    except StackError as error:
        raise CommandError(f"the local stack does not start\n{error}") from error


def _start(settings: "Settings", workers: bool) -> None:
    from streams.cli.activity import Activity
    from streams.local import stack

    begun = time.monotonic()
    with Activity() as activity:
        activity.now("preparing")
        stack.prepare(settings, lambda done, total: activity.now(f"downloading the broker: {done} of {total} jars"))
        starting = stack.start(settings, workers=workers)
        try:
            seen = stack.wait_ready(starting.home, _Parts(activity).show, process=starting.process)
            starting.keep()
        except BaseException:
            activity.now("stopping what was started")
            starting.release()
            starting.process.wait()
            raise
    typer.echo(f"ready in {time.monotonic() - begun:.1f} s; `headwater status` shows it, `headwater down` stops it")
    if settings.kafka:
        typer.echo(f"set HEADWATER_KAFKA={seen.kafka} for the other commands")


class _Parts:
    """A line for each part that becomes ready, and which are still awaited."""

    def __init__(self, activity: "Activity") -> None:
        self._activity = activity
        self._shown: set[str] = set()

    def show(self, seen: "StackState") -> None:
        for part in seen.parts.values():
            if part.phase == "ready" and part.name not in self._shown:
                self._shown.add(part.name)
                port = f"  port {part.port}" if part.port else ""
                self._activity.done(f"  {part.name:<14} ready in {part.start_s or 0:4.1f} s{port}")
        starting = [part.name for part in seen.parts.values() if part.phase == "starting"]
        self._activity.now(f"starting {', '.join(starting)}" if starting else "starting")


def _join(settings: "Settings", workers: bool) -> None:
    """Say what runs already; wait for it where it is still starting."""
    from streams.cli.activity import Activity
    from streams.local import stack, state

    home = settings.home.resolve()
    seen = state.read(home)
    if seen is None or seen.phase != "ready":
        with Activity() as activity:
            seen = stack.wait_ready(home, _Parts(activity).show)
    if seen.kafka != settings.kafka_url:
        raise CommandError(f"already running with the broker {seen.kafka!r}: `headwater down` first")
    failed = [part.name for part in seen.parts.values() if part.phase == "failed"]
    if failed:
        raise CommandError(f"already running, but without {', '.join(failed)}: `headwater down` and `headwater up`")
    without = "" if seen.workers or not workers else " without workers (for those: `headwater down`, `headwater up`)"
    typer.echo(f"already running{without} for {ago(time.time() - seen.started)} (supervisor pid {seen.pid})")
    _tell_changed(state.changed(seen, settings))


def _tell_changed(names: "Sequence[str]") -> None:
    if names:
        typer.echo(
            f"it was started with another {', '.join(names)}: `headwater down` and `headwater up` bring in yours"
        )


def down() -> None:
    """Stop the local stack, and wait until its ports are free."""
    from streams.local import stack
    from streams.local.errors import StackError

    try:
        seen = stack.stop(load_settings())
    except StackError as error:
        raise CommandError(str(error)) from error
    if seen is None:
        typer.echo("nothing is running")
        return
    stopped = [part.name for part in seen.parts.values() if part.pid]
    typer.echo(f"stopped {', '.join(reversed(stopped))}; the data is kept in {load_settings().home}")


def status(as_json: AsJson = False) -> None:
    """Show every part of the local stack, and every instance of the pools that this home's workers have.

    Of a part: whether it is ready, its port, memory, restarts and log. Of an instance: its state, share of the calls
    of the last 30 s, calls in flight, milliseconds (smoothed, and p95) and errors. Exit code 3 where no stack runs.
    """
    from streams.cli import pools
    from streams.lag import lags
    from streams.local import state
    from streams.local.room import shortage
    from streams.local.stack import stateless
    from streams.local.usage import all_memory
    from streams.pools import states

    settings = load_settings()
    home = settings.home.resolve()
    seen, runs = state.read(home), state.running(home)
    pooled = states.read(home)
    dumped = [worker.model_dump(mode="json") for worker in pooled]
    if runs and seen is None:
        raise CommandError(str(stateless(home)), FAILED)
    if seen is None or not runs:
        if as_json:
            typer.echo(json.dumps({"running": False, "pools": dumped}))
        else:
            pools.show(pooled)
        killed = " (its supervisor was killed)" if seen is not None and seen.phase in ("starting", "ready") else ""
        remedy = "`headwater up` starts it"
        raise CommandError(f"the local stack is not running{killed}: {remedy}", UNREACHABLE, answered=True)
    memory, full = all_memory(seen), shortage(home)
    behind = lags(settings.model_copy(update={"kafka": seen.kafka, **seen.reading}))
    changed = state.changed(seen, settings)
    if full:
        typer.echo(f"{full}; until then this may be old", err=True)
    if as_json:
        record = seen.model_dump(mode="json") | {
            "running": True,
            "memory_bytes": memory,
            "lag": behind,
            "changed": changed,
            "pools": dumped,
        }
        typer.echo(json.dumps(record, indent=2))
    else:
        _table(seen, memory)
        pools.show(pooled)
        typer.echo(f"records that wait: {_waiting(behind)}")
        _tell_changed(changed)
    if full or any(part.phase != "ready" for part in seen.parts.values()):
        raise typer.Exit(1)


def _waiting(behind: "Mapping[str, int | None] | None") -> str:
    if behind is None:
        return "not known, the broker does not answer"
    groups = [f"{group} {count}" for group, count in behind.items() if count is not None]
    return ", ".join(groups) or "no worker has read any yet"


def _table(seen: "StackState", memory: "Mapping[str, int]") -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("part", "state", "pid", "port", "for", "MB", "restarts"):
        table.add_column(heading, justify="right" if heading in ("pid", "port", "for", "MB", "restarts") else "left")
    for part in seen.parts.values():
        table.add_row(*_row(part, memory.get(part.name, 0)))
    console = Console(soft_wrap=True, highlight=False)
    console.print(table)
    logs = {part.log.parent for part in seen.parts.values() if part.log}
    console.print(f"broker {seen.kafka}, supervisor pid {seen.pid}, {sum(memory.values()) / 1e6:.0f} MB in all")
    console.print(f"logs in {', '.join(map(str, logs))}")
    for part in seen.parts.values():
        if part.detail:
            console.print(f"{part.name}: {part.detail}", markup=False)


def _row(part: "PartState", memory: int) -> list[str]:
    colours = {"ready": "green", "failed": "red", "restarting": "yellow"}
    colour = colours.get(part.phase)
    return [
        part.name,
        f"[{colour}]{part.phase}[/]" if colour else part.phase,
        str(part.pid or ""),
        str(part.port or ""),
        ago(time.time() - part.since),
        f"{memory / 1e6:.0f}" if memory else "",
        str(part.restarts),
    ]
