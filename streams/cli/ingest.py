"""`headwater ingest`: files and folders into the pipeline, and what became of each."""

import asyncio
import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypedDict

import typer

from streams.cli.files import Found, Hidden, Unreadable, find, typed
from streams.cli.outcomes import Outcome, Summary
from streams.cli.problems import REJECTED, TIMED_OUT, UNREACHABLE, USAGE, CommandError, describe
from streams.cli.reporting import explained, pairs, plain
from streams.cli.sources import load_settings
from streams.media_types import BY_SUFFIX

if TYPE_CHECKING:
    from schemas import Profile, Scalar
    from streams.client import Client, Lane
    from streams.settings import Settings

IN_FLIGHT = 64
"""Documents between publication and receipt: enough to fill every stage's window, little enough to hold in memory."""
IMPORT_FILES = 16
"""More than so many at once are an import, behind whatever somebody waits for."""


def ingest(
    paths: Annotated[list[str], typer.Argument(metavar="PATH", help="Files, folders (recursively) and glob patterns.")],
    *,
    tenant: Annotated[str, typer.Option(help="Whose documents; default: the setting `tenant`.")] = "",
    document_id: Annotated[
        str, typer.Option("--id", help="Id of a single file; default: its path below the folder given, or its name.")
    ] = "",
    title: Annotated[str, typer.Option(help="Shown in citations.")] = "",
    metadata: Annotated[
        list[str] | None, typer.Option("--metadata", metavar="NAME=VALUE", help="To filter by. Repeatable.")
    ] = None,
    readers: Annotated[
        list[str] | None,
        typer.Option("--reader", metavar="PRINCIPAL", help="Who may read it; default: the whole tenant. Repeatable."),
    ] = None,
    profile: Annotated[str, typer.Option(help="Chunking for `technical`, `general` or `legal` text.")] = "",
    media_type: Annotated[
        str,
        typer.Option(help="What all of them are, such as `text/plain; charset=latin-1`; default: by name and content."),
    ] = "",
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Wait until every document is searchable.")] = True,
    timeout: Annotated[
        float, typer.Option(min=0.1, max=86_400, help="Give up after so many seconds without a receipt.")
    ] = 120.0,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object at the end.")] = False,
) -> None:
    """Publish documents and wait until they are searchable.

    A document's id is its path below the folder given; of a file given by itself, its name. Whatever had this id before
    is replaced. What is gone from a folder stays searchable until `headwater documents delete`.
    More than 16 files are an import: whatever somebody waits for meanwhile goes first.
    Exit code 0: all fine; 1: some rejected; 3: broker unreachable; 4: gave up waiting.
    """
    given = list(find(paths))
    if not media_type:
        given = [typed(entry) if isinstance(entry, Found) else entry for entry in given]
    entries = [entry for entry in given if not isinstance(entry, Hidden)]
    found, unreadable = _sort_out(entries, document_id)
    about: About = {
        "tenant": tenant,
        "title": title,
        "metadata": pairs(metadata or (), "--metadata"),
        "readers": readers or (),
        "profile": _profile(profile),
        "media_type": _media_type(media_type),
        "lane": "bulk" if len(found) > IMPORT_FILES else "interactive",
    }
    summary = Summary(total=len(found) + len(unreadable), hidden=len(given) - len(entries), quiet=as_json)
    lost: ConnectionError | None = None
    with explained(), _interruptible(summary), summary:
        for path in unreadable:
            summary.note(Outcome.unreadable(path))
        if found:
            try:
                asyncio.run(Ingestion(load_settings(), about, summary, timeout if wait else None).run(found))
            except ConnectionError as error:
                if not summary.begun:
                    raise
                lost, summary.broken_off = error, True
    typer.echo(json.dumps(summary.as_data()) if as_json else plain(summary.as_text(waited=wait)))
    if lost is not None:
        raise CommandError(describe(lost), UNREACHABLE, answered=True)
    if summary.timed_out:
        raise typer.Exit(TIMED_OUT)
    if summary.rejected:
        raise typer.Exit(REJECTED)


@contextmanager
def _interruptible(summary: Summary) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        typer.echo(
            f"headwater: interrupted with {summary.unanswered} without a receipt; what was published goes on being "
            "indexed, and the same command publishes the rest",
            err=True,
        )
        raise


def _sort_out(entries: Sequence[Found | Unreadable], document_id: str) -> tuple[list[Found], list[Unreadable]]:
    found = [entry for entry in entries if isinstance(entry, Found)]
    if document_id:
        if len(entries) != 1:
            raise CommandError(f"--id {document_id!r} names one document; {len(entries)} files were given", USAGE)
        found = [Found(file.path, document_id) for file in found]
    by_id: dict[str, Path] = {}
    for file in found:
        other = by_id.setdefault(file.document_id, file.path)
        if other != file.path:
            raise CommandError(
                f"{str(other)!r} and {str(file.path)!r} would both be document {file.document_id!r}: "
                "ingest the folder above them, or one at a time with --id",
                USAGE,
            )
    return list({file.path: file for file in found}.values()), [e for e in entries if isinstance(e, Unreadable)]


def _profile(name: str) -> "Profile | None":
    profiles: dict[str, Profile | None] = {"": None, "technical": "technical", "general": "general", "legal": "legal"}
    if name not in profiles:
        raise CommandError(f"--profile {name!r} is none of technical, general, legal", USAGE)
    return profiles[name]


def _media_type(given: str) -> str:
    known = sorted({*BY_SUFFIX.values()})
    if given and given.partition(";")[0].strip().lower() not in known:
        raise CommandError(f"--media-type {given!r} is none that is read: {', '.join(known)}", USAGE)
    return given


class About(TypedDict):
    """What is said alike of every document of a run."""

    tenant: str
    title: str
    metadata: "dict[str, Scalar]"
    readers: Sequence[str]
    profile: "Profile | None"
    media_type: str
    lane: "Lane"


class Ingestion:
    """One run: a bounded number of documents under way, each failing alone."""

    def __init__(self, settings: "Settings", about: About, summary: Summary, timeout_s: float | None) -> None:
        self._settings = settings
        self._about = about
        self._summary = summary
        self._timeout_s = timeout_s
        """None: do not wait for receipts."""
        self._progressed_at = time.monotonic()

    async def run(self, found: Sequence[Found]) -> None:
        from streams.client import Client

        async with Client(self._settings) as client:
            waiting = iter(found)
            lanes = {asyncio.create_task(self._lane(client, waiting)) for _ in range(min(IN_FLIGHT, len(found)))}
            try:
                await self._watch(lanes)
            finally:
                for lane in lanes:
                    lane.cancel()
                await asyncio.gather(*lanes, return_exceptions=True)

    async def _watch(self, lanes: "set[asyncio.Task[None]]") -> None:
        pending = lanes
        while pending:
            left_s = None if self._timeout_s is None else self._progressed_at + self._timeout_s - time.monotonic()
            if left_s is not None and left_s <= 0:
                self._summary.timed_out = True
                return
            done, pending = await asyncio.wait(pending, timeout=left_s, return_when=asyncio.FIRST_EXCEPTION)
            for lane in done:
                lane.result()

    async def _lane(self, client: "Client", waiting: "Iterator[Found]") -> None:
        for file in waiting:
            self._summary.note(await self._one(client, file))
            self._progressed_at = time.monotonic()

    async def _one(self, client: "Client", file: Found) -> Outcome:
        from processors.errors import Poison
        from schemas import SchemaError

        try:
            event = await client.publish(file.document_id, file.path, **self._about)
        except ConnectionError:
            raise
        except OSError as error:
            return Outcome.unreadable(Unreadable(file.path, error.strerror or str(error)))
        except SchemaError as error:
            return Outcome(file.path, file.document_id, "rejected", code="schema", detail=str(error))
        except Poison as error:
            return Outcome(file.path, file.document_id, "rejected", code=error.code, detail=error.detail)
        if self._timeout_s is None:
            return Outcome(file.path, file.document_id, "published", event.version)
        self._summary.published(Outcome(file.path, file.document_id, "published", event.version))
        return Outcome.of(file, await client.receipt(event, timeout_s=None))
