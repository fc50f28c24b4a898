"""`headwater backup`: what cannot be made anew, saved, restored, and rid of what was deleted."""

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from streams.cli.problems import FAILED, CommandError
from streams.cli.reporting import explained
from streams.cli.sources import load_settings

if TYPE_CHECKING:
    from streams.backup.archive import Archive

Place = Annotated[
    str, typer.Argument(metavar="PLACE", help="A folder, or a URL such as s3://bucket/documents. One save at a time.")
]


def save(place: Place) -> None:
    """Save what was published since the last time, with the content that it claims.

    Exit code 0: all saved; 3: broker or store unreachable; 5: the broker had deleted records that were not saved yet,
    and the rest is saved.
    """
    from streams.backup.archive import Archive
    from streams.backup.saving import Gap
    from streams.backup.saving import save as saved

    with explained():
        try:
            count = asyncio.run(saved(load_settings(), Archive(place, new=True)))
        except Gap as gap:
            raise CommandError(str(gap), FAILED) from gap
    typer.echo(f"saved {count:,} records")


def restore(place: Place) -> None:
    """Publish all that was saved again, versions and deletions included; the workers do the rest."""
    from streams.backup.restoring import restore as restored

    with explained():
        count = asyncio.run(restored(load_settings(), _filled(place)))
    typer.echo(f"restored {count:,} records; `headwater status` says how many still wait for the workers")


def forget(place: Place) -> None:
    """Take deleted documents out of what was saved; the deletions stay. Not while a save runs."""
    from streams.backup.forgetting import forget as forgotten

    with explained():
        count = forgotten(_filled(place))
    typer.echo(f"took out {count:,} records")


def _filled(place: str) -> "Archive":
    from streams.backup.archive import Archive
    from streams.backup.files import files

    archive = Archive(place)
    if not files(archive):
        raise CommandError(f"{archive.url} holds no backup")
    return archive
