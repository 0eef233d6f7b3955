"""How commands speak: data on stdout, complaints on stderr, colours only on a terminal.

A command that a rule of the house stops says so in one sentence and what would be right, and ends
with a code that scripts can tell apart.  Nobody sees a traceback for a mistake in a setting.
"""

from __future__ import annotations

import inspect
import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from rich.console import Console, RenderableType
from rich.text import Text
from typer.core import TyperGroup

from activities.lazily import lazily
from bot.cli.exits import BY_ERROR, Exit
from bot.visible import visible
from runbooks.errors import ParamedicError

if TYPE_CHECKING:
    from bot import settings as all_settings
else:
    all_settings = lazily("bot.settings")  # not for `--help`

WRONG = Exit.WRONG
"""Exit code where the usage, a setting or something that it needs is wrong."""

UsageError: type[Exception] = typer.BadParameter.__mro__[1]
"""What is raised for any wrong usage.  Typer shows only this child of it."""

_JSON_WANTED = ContextVar("json_wanted", default=False)


class _Console(Console):
    """Says that nobody reads any more, where `rich` would end the process with the code for "no"."""

    def on_broken_pipe(self) -> None:
        """Go on with the error that is being handled."""
        raise  # noqa: PLE0704 - rich calls this where it has caught it


OUT = _Console(highlight=False)
_ERRORS = _Console(stderr=True, highlight=False)


def _note_json(wanted: bool) -> bool:
    """Remember how this command speaks, for what it may have to complain about."""
    _JSON_WANTED.set(wanted)
    return wanted


def speaks_json() -> bool:
    """Return whether this command was asked for JSON."""
    return _JSON_WANTED.get()


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
        except BrokenPipeError:
            raise typer.Exit(Exit.UNREAD) from None

    def main(self, args: Sequence[str] | None = None, *more: Any, **named: Any) -> NoReturn:
        """Run the command that `args` say, those of the process where none are given, and end with its code."""
        words = sys.argv[1:] if args is None else list(args)
        _note_json("--json" in words)  # usage that is wrong is found before the option is
        try:
            code = super().main(words, *more, **{**named, "standalone_mode": False})
        except UsageError as error:
            if sentence := _usage_sentence(error):
                complain(sentence, "usage_wrong")
            code = Exit.WRONG
        except typer.Abort:
            complain("Nothing was said, so nothing was done.", "not_confirmed")
            code = Exit.NO
        except OSError as error:
            complain_of_system(error)
            code = Exit.WRONG
        sys.exit(code if isinstance(code, int) else Exit.DONE)


def _usage_sentence(error: Any) -> str:
    """Return what is wrong with the words of a command, and where the right ones stand; nothing if that was shown."""
    said = " ".join(error.format_message().replace("Value error, ", "").split())
    if not said:
        return ""
    command = error.ctx.command_path if error.ctx else "paramedic"
    return f"{said}{'' if said.endswith(('.', '?')) else '.'} See: {command} --help"


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
    """Let the help of a command read well however wide the terminal is.

    Paragraphs flow.  Flags have no type, and arguments none of Python's: their help says what they are.
    """
    paragraphs = inspect.cleandoc(command.help or "").split("\n\n")
    command.help = "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)
    for option in command.get_params(typer.Context(command)):
        if getattr(option, "is_flag", False):
            option.metavar = ""
        elif option.param_type_name == "argument":
            option.display_type_rich = _no_type


def _no_type(**_: Any) -> None:
    """Show no type: `rich`'s column for it stays empty."""


def settings() -> all_settings.Settings:
    """Return the settings of this process.

    Raises:
        SettingsError: names every variable that is wrong.
    """
    return all_settings.Settings.from_env(os.environ)


def show(*parts: RenderableType) -> None:
    """Print for people, as wide as the terminal is."""
    for part in parts:
        OUT.print(part, markup=False)


def show_err(*lines: Text) -> None:
    """Print for people beside the result, on stderr: what is asked, what comes next."""
    for line in lines:
        _ERRORS.print(line, markup=False, soft_wrap=True)


def show_line(*lines: Text | str) -> None:
    """Print lines that programs read as well, editors for instance: they are never broken."""
    for line in lines:
        OUT.print(line, markup=False, soft_wrap=True)


def show_json(data: Any) -> None:
    """Print for programs.  Characters that a terminal would obey are escaped."""
    typer.echo(json.dumps(data, indent=2, default=str))


def complain(sentence: str, code: str) -> None:
    """Say what is wrong, on stderr; as a line of JSON where the command was asked for JSON.

    Args:
        sentence: with what would be right.
        code: the same for scripts, which never changes.
    """
    if _JSON_WANTED.get():
        typer.echo(json.dumps({"error": sentence, "code": code}), err=True)
        return
    for line in sentence.splitlines():
        _ERRORS.print(Text(visible(line), style="red"), soft_wrap=True)


def complain_of_system(error: OSError) -> None:
    """Say what this machine did not let the command do: a full disk, a file that is somebody else's."""
    complain(f"this machine does not let Paramedic go on: {error}", "system")


def end_with(ending: Exit, sentence: str, code: str) -> NoReturn:
    """Say why, and end the command."""
    complain(sentence, code)
    raise typer.Exit(ending)


def confirm(question: str) -> None:
    """Ask, on stderr, whether something is meant, and end the command where nobody says yes."""
    shown = sys.stdin.isatty() or not _JSON_WANTED.get()
    if shown:
        typer.echo(f"{visible(question)} [y/N]: ", nl=False, err=True)
    answer = sys.stdin.readline()
    if shown and not (sys.stdin.isatty() and answer):
        typer.echo(err=True)
    if answer.strip().lower() not in {"y", "yes"}:
        remedy = "" if sys.stdin.isatty() else " Where nobody can be asked: --yes"
        sentence = f"Nobody said yes, so nothing was done.{remedy}"
        end_with(Exit.NO, sentence, "not_confirmed")


@contextmanager
def waiting_for(sentence: str) -> Iterator[None]:
    """Show on a terminal that, and for what, the command waits.  Anywhere else nothing is shown."""
    if not _ERRORS.is_terminal or _JSON_WANTED.get():
        yield
        return
    with _ERRORS.status(Text(visible(sentence), style="dim")):
        yield


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
