"""What stands for a value in the help: a word such as NAME=VALUE, where typer would show Python's types."""

from pathlib import Path

import typer
from typer.core import TyperArgument, TyperCommand, TyperOption

WORDS = {int: "N", float: "N", Path: "PATH", list[str]: "TEXT", str: "TEXT"}
"""For options that name none of their own."""


class Argument(TyperArgument):
    """An argument that is shown as its word alone."""

    def display_type_rich(self, ctx: typer.Context) -> None:  # type: ignore[override]  # typer hides the wider class
        return None

    def _usage_display_name(self) -> str:
        name = self.metavar or self.name.upper()
        shown = name if self.nargs == 1 or name.endswith("...") else f"{name}..."
        return shown if self.required else f"[{shown}]"


def worded(command: TyperCommand) -> TyperCommand:
    """The command, its help in words."""
    for param in command.params:
        if isinstance(param, TyperArgument):
            param.__class__ = Argument
            param.metavar = param.metavar or param.name.upper()
        elif isinstance(param, TyperOption) and not (param.metavar or param.is_flag):
            param.metavar = WORDS.get(param.type_descriptor.annotation)
    return command
