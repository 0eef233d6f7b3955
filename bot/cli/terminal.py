"""How commands speak: data on stdout, complaints on stderr, colours only on a terminal.

A command that a rule of the house stops says so in one sentence and what would be right, and ends
with a code that scripts can tell apart.  Nobody sees a traceback for a mistake in a setting.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text
from typer.core import TyperGroup

from bot.settings import Settings
from bot.visible import visible
from runbooks.errors import ParamedicError

WRONG = 2
"""Exit code where the usage, a setting or something that it needs is wrong."""

OUT = Console(highlight=False)
_ERRORS = Console(stderr=True, highlight=False)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead.")]
Labels = Annotated[
    list[str],
    typer.Option("--label", "-l", metavar="NAME=VALUE", help="A label of the alert; may be repeated."),
]


class Commands(TyperGroup):
    """Commands that turn an error of the house into one sentence on stderr."""

    def invoke(self, context: Any) -> Any:
        """Run the command."""
        try:
            return super().invoke(context)
        except ParamedicError as error:
            complain(str(error))
            raise typer.Exit(WRONG) from None


def new_commands(help_text: str) -> typer.Typer:
    """Return an empty set of commands."""
    # Typer's own tracebacks would show the values of variables, secrets among them.
    return typer.Typer(
        cls=Commands,
        help=help_text,
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode="rich",
    )


def settings() -> Settings:
    """Return the settings of this process.

    Raises:
        SettingsError: names every variable that is wrong.
    """
    return Settings.from_env(os.environ)


def show(*parts: RenderableType) -> None:
    """Print for people, as wide as the terminal is."""
    for part in parts:
        OUT.print(part, markup=False)


def show_line(*lines: Text | str) -> None:
    """Print lines that programs read as well, editors for instance: they are never broken."""
    for line in lines:
        OUT.print(line, markup=False, soft_wrap=True)


def show_json(data: Any) -> None:
    """Print for programs.  Characters that a terminal would obey are escaped."""
    typer.echo(json.dumps(data, indent=2, default=str))


def complain(sentence: str) -> None:
    """Say what is wrong, on stderr."""
    for line in sentence.splitlines():
        _ERRORS.print(Text(visible(line), style="red"), soft_wrap=True)


def new_table(*columns: str) -> Table:
    """Return a table without borders, for terminals of any width."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def add_rows(table: Table, rows: Sequence[Sequence[object]]) -> Table:
    """Fill `table`; what comes from outside is made safe to show."""
    for row in rows:
        table.add_row(*(cell if isinstance(cell, Text) else Text(visible(cell)) for cell in row))
    return table


def counted(number: int, noun: str) -> str:
    """Return `1 runbook`, `2 runbooks`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def parse_pairs(texts: Sequence[str], option: str) -> Mapping[str, str]:
    """Return `NAME=VALUE` texts as a mapping.

    Raises:
        typer.BadParameter: one has no name or no equals sign.
    """
    pairs = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not (name and equals):
            raise typer.BadParameter(f"{text!r} is not NAME=VALUE", param_hint=option)
        pairs[name] = value
    return pairs
