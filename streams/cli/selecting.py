"""Which dead letters a command line means."""

from difflib import get_close_matches
from typing import TYPE_CHECKING, Annotated

import typer

from streams.cli.problems import USAGE, CommandError
from streams.cli.sources import load_settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streams.letters.selection import Selection

Ids = Annotated[list[str] | None, typer.Argument(metavar="ID", help="As `dlq list` prints them.")]
Codes = Annotated[list[str] | None, typer.Option("--code", metavar="CODE", help="Those with this code. Repeatable.")]
Stages = Annotated[list[str] | None, typer.Option("--stage", metavar="STAGE", help="Those of this stage. Repeatable.")]
Documents = Annotated[
    list[str] | None,
    typer.Option(
        "--document",
        metavar="TENANT/ID",
        help="Those of this document; without a tenant, of the setting `tenant`. Repeatable.",
    ),
]
All = Annotated[bool, typer.Option("--all", help="All that are open.")]


def selected(
    ids: "Sequence[str]",
    codes: "Sequence[str] | None",
    stages: "Sequence[str] | None",
    documents: "Sequence[str] | None",
    *,
    everything: bool = False,
) -> "Selection":
    """The letters that a command line means."""
    from streams.letters.codes import CODES
    from streams.letters.letter import BY_LETTERS, Place
    from streams.letters.selection import Selection
    from streams.pipelines import STAGES

    filters = bool(codes or stages or documents)
    if bool(ids) + (filters or everything) != 1:
        raise CommandError(
            "name letters by their ids, or select them by --code, --stage and --document, or take --all", USAGE
        )
    places = []
    for text in ids:
        try:
            place = Place.parse(text)
        except ValueError:
            raise CommandError(f"{text!r} is no letter's id, such as documents-dlq/0/17", USAGE) from None
        if place.topic not in BY_LETTERS:
            raise CommandError(f"{text!r}: letters lie in {', '.join(BY_LETTERS)}", USAGE)
        places.append(place)
    return Selection(
        ids=frozenset(places) if places else None,
        codes=_listed("--code", codes, CODES),
        stages=_listed("--stage", stages, STAGES),
        documents=frozenset(map(_document_key, documents or ())),
    )


def _listed(flag: str, given: "Sequence[str] | None", known: "Sequence[str]") -> frozenset[str]:
    """The values of a filter; one that no letter can have is a typing error, not an empty result."""
    for value in given or ():
        if value not in known:
            near = " or ".join(map(repr, get_close_matches(value, known, cutoff=0.7)))
            meant = f"did you mean {near}? " if near else ""
            raise CommandError(f"{flag} {value!r} is none of the {flag[2:]}s: {meant}{', '.join(known)}", USAGE)
    return frozenset(given or ())


def _document_key(given: str) -> str:
    """Without a tenant, a document of the settings' tenant is meant."""
    return given if "/" in given else f"{load_settings().tenant}/{given}"
