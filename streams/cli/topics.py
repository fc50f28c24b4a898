"""`headwater topics`: the topics of the table, and those of the broker."""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from streams.cli.problems import UNREACHABLE, CommandError

if TYPE_CHECKING:
    from streams.provisioning import Difference

AsJson = Annotated[bool, typer.Option("--json", help="One JSON array on standard output.")]


def plan(as_json: AsJson = False) -> None:
    """Show what `apply` would change on the broker."""
    _show(_plan(), as_json, nothing="the broker's topics are as they should be")


def apply(as_json: AsJson = False) -> None:
    """Create the topics that are missing, add partitions, and set what differs; never take anything away."""
    from streams import provisioning
    from streams.cli.sources import load_settings

    differences = _plan()
    _show(differences, as_json, nothing="nothing to do")
    for grown in (each for each in differences if each.what == "partitions" and not each.by_hand):
        typer.echo(
            f"headwater: {grown.topic.name}: keys move to other partitions now; events of one document published "
            "before and after may overtake each other until the old ones are worked off",
            err=True,
        )
    try:
        left = provisioning.apply(load_settings(), differences)
    except provisioning.ProvisioningError as error:
        raise CommandError(str(error), answered=True) from error
    if left:
        raise CommandError(
            f"left to do by hand, because Kafka cannot or would move data: {'; '.join(map(str, left))}. "
            "Recreate these topics once they are empty, or reassign their replicas with Kafka's own tools",
            answered=True,
        )


def check(as_json: AsJson = False) -> None:
    """Fail where the broker's topics differ from the table."""
    differences = _plan()
    _show(differences, as_json, nothing="the broker's topics are as they should be")
    if differences:
        if not as_json:
            typer.echo("headwater: run `headwater topics apply`", err=True)
        raise typer.Exit(1)


def _plan() -> "list[Difference]":
    from streams import provisioning
    from streams.cli.sources import load_settings

    settings = load_settings()
    try:
        return provisioning.plan(settings)
    except provisioning.ProvisioningError as error:
        raise CommandError(
            f"{error} at {settings.kafka_url!r}: start the local one with `headwater up`, "
            "or name yours with --kafka or HEADWATER_KAFKA",
            UNREACHABLE,
        ) from error


def _show(differences: "Sequence[Difference]", as_json: bool, *, nothing: str) -> None:
    if as_json:
        typer.echo(json.dumps([_record(each) for each in differences], indent=2))
    elif not differences:
        typer.echo(nothing)
    else:
        for each in differences:
            typer.echo(f"{each}{' (by hand)' if each.by_hand else ''}")


def _record(difference: "Difference") -> dict[str, object]:
    return {
        "topic": difference.topic.name,
        "what": difference.what,
        "current": difference.current,
        "wanted": difference.wanted,
        "by_hand": difference.by_hand,
    }
