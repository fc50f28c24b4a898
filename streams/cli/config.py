"""`headwater config`: what this deployment is set to, and why."""

import json
import re
from typing import Annotated

import typer

PASSWORD = re.compile(r"(://[^/@:\s]*:)[^/@\s]+@")
"""In a URL, between the user's name and the host."""


def config(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")] = False,
) -> None:
    """Show every setting, its value and where that comes from, secrets masked."""
    from streams.cli.sources import load_settings, source_of, strangers

    settings = load_settings()
    for variable in strangers():
        typer.echo(f"headwater: {variable} is set, but is no setting", err=True)
    values = settings.model_dump(mode="json")
    sources = {name: source_of(name) for name in values}
    derived = {
        "kafka": settings.kafka_url,
        "index": settings.index_url,
        "generator": settings.generator_url,
        "objects": settings.objects_url,
    }
    values |= {name: url for name, url in derived.items() if not values[name]}
    values = {name: _masked(value) for name, value in values.items()}
    if as_json:
        typer.echo(json.dumps({name: {"value": values[name], "source": sources[name]} for name in values}, indent=2))
        return
    width = max(map(len, values))
    for name, value in values.items():
        shown = value if isinstance(value, str) else json.dumps(value)
        typer.echo(f"{name:<{width}}  {shown}  ({sources[name]})")


def _masked(value: object) -> object:
    """The value without the passwords of URLs, wherever in it they stand."""
    match value:
        case str():
            return PASSWORD.sub(r"\1**********@", value)
        case list():
            return [_masked(each) for each in value]
        case dict():
            return {name: _masked(each) for name, each in value.items()}
        case _:
            return value
