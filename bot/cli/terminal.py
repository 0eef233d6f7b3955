"""How commands speak: data on stdout, complaints on stderr, colours only on a terminal.

A command that a rule of the house stops says so in one sentence and what would be right, and ends
with a code that scripts can tell apart.  Nobody sees a traceback for a mistake in a setting.
"""

from __future__ import annotations

import inspect
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Annotated, Any

import typer
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text
from typer.core import TyperGroup

from bot.cli.exits import BY_ERROR, Exit
from bot.settings import Settings
from bot.visible import visible
from runbooks.errors import ParamedicError

WRONG = Exit.WRONG
"""Exit code where the usage, a setting or something that it needs is wrong."""

_JSON_WANTED = ContextVar("json_wanted", default=False)

OUT = Console(highlight=False)
_ERRORS = Console(stderr=True, highlight=False)


def _note_json(wanted: bool) -> bool:
    """Remember how this command speaks, for what it may have to complain about."""
    _JSON_WANTED.set(wanted)
    return wanted


AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead.", callback=_note_json)]
Labels = Annotated[
    list[str],
    typer.Option("--label", "-l", metavar="NAME=VALUE", help="A label of the alert; may be repeated."),
]


class ToldError(ParamedicError):
    """What a running Paramedic has said is wrong; `told` is the error's code there."""

    code = "told"

    def __init__(self, sentence: str, told: str) -> None:
        super().__init__(sentence)
        self.told = told


class Commands(TyperGroup):
    """Commands that turn an error of the house into one sentence on stderr."""

    def invoke(self, context: Any) -> Any:
        """Run the command."""
        try:
            return super().invoke(context)
        except ParamedicError as error:
            code = error.told if isinstance(error, ToldError) else error.code
            complain(str(error), code)
            raise typer.Exit(BY_ERROR.get(code, Exit.WRONG)) from None


def new_commands(help_text: str | None = None) -> typer.Typer:
    """Return an empty set of commands.  Without a text, its callback's docstring is its help."""
    given: dict[str, Any] = {} if help_text is None else {"help": help_text}
    # Typer's own tracebacks would show the values of variables, secrets among them.
    return typer.Typer(
        **given,
        cls=Commands,
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode="rich",
    )


def tidy_help(command: Any) -> None:
    """Let the help of a command read well however wide the terminal is: paragraphs flow, and flags have no type."""
    paragraphs = inspect.cleandoc(command.help or "").split("\n\n")
    command.help = "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)
    for option in command.get_params(typer.Context(command)):
        if getattr(option, "is_flag", False):
            option.metavar = ""


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


def show_err(*parts: RenderableType) -> None:
    """Print for people beside the result, on stderr: what is asked, what comes next."""
    for part in parts:
        _ERRORS.print(part, markup=False)


def show_line(*lines: Text | str) -> None:
    """Print lines that programs read as well, editors for instance: they are never broken."""
    for line in lines:
        OUT.print(line, markup=False, soft_wrap=True)


def show_json(data: Any) -> None:
    """Print for programs.  Characters that a terminal would obey are escaped."""
    typer.echo(json.dumps(data, indent=2, default=str))


def complain(sentence: str, code: str = "") -> None:
    """Say what is wrong, on stderr; as a line of JSON where the command was asked for JSON."""
    if _JSON_WANTED.get():
        told = {"error": sentence, **({"code": code} if code else {})}
        typer.echo(json.dumps(told), err=True)
        return
    for line in sentence.splitlines():
        _ERRORS.print(Text(visible(line), style="red"), soft_wrap=True)


@contextmanager
def waiting_for(sentence: str) -> Iterator[None]:
    """Show on a terminal that, and for what, the command waits.  Anywhere else nothing is shown."""
    if not _ERRORS.is_terminal or _JSON_WANTED.get():
        yield
        return
    with _ERRORS.status(Text(visible(sentence), style="dim")):
        yield


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
